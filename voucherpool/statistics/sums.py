"""The statements that count and sum for the statistics."""

from sqlalchemy import text

clock = text("SELECT current_date, current_setting('TimeZone')")

# Each count uses its own index.
vouchers_of = text("""
    SELECT (SELECT count(*) FROM vouchers WHERE offer_id = :offer_id AND used_at IS NOT NULL)
            + coalesce(sum(used_up), 0)::bigint,
        (SELECT count(*) FROM vouchers
            WHERE offer_id = :offer_id AND used_at IS NULL AND expires_at <= now())
            + coalesce(sum(expired), 0)::bigint
    FROM archived_totals WHERE offer_id = :offer_id""")

_counted = """
    SELECT offer_id, 'redeemed' AS kind, day, currency, redeemed AS number, discounted AS amount,
        turnover
    FROM archived_totals WHERE {counted}
    UNION ALL SELECT offer_id, 'reversed', day, currency, reversed, given_back, turnover_given_back
    FROM archived_totals WHERE {counted}
    UNION ALL SELECT offer_id, 'issued', day, NULL, issued, 0, 0 FROM offer_counts WHERE {counted}
    UNION ALL SELECT offer_id, 'claimed', day, NULL, claimed, 0, 0
    FROM offer_counts WHERE {counted}"""

# By quarters of an hour first, because converting each moment to a date takes three times as long;
# midnight is at a quarter in every time zone.
events_of_offer = text(
    """
    WITH ledger AS (
        SELECT date_bin('15 minutes', redeemed_at, '2000-01-01Z') AS quarter, currency,
            count(*) AS number, sum(discount_amount) AS amount, sum(order_amount) AS turnover
        FROM redemptions WHERE offer_id = :offer_id GROUP BY 1, 2
    ), reversal AS (
        SELECT date_bin('15 minutes', reversed_at, '2000-01-01Z') AS quarter, currency,
            count(*) AS number, sum(discount_amount) AS amount, sum(order_amount) AS turnover
        FROM redemptions WHERE offer_id = :offer_id AND reversed_at IS NOT NULL GROUP BY 1, 2
    )
    SELECT :offer_id, 'redeemed', quarter::date, currency,
        sum(number)::bigint, coalesce(sum(amount), 0), coalesce(sum(turnover), 0)
    FROM ledger GROUP BY 3, 4
    UNION ALL SELECT :offer_id, 'reversed', quarter::date, currency,
        sum(number)::bigint, coalesce(sum(amount), 0), coalesce(sum(turnover), 0)
    FROM reversal GROUP BY 3, 4
    UNION ALL """
    + _counted.format(counted="offer_id = :offer_id")
)

# Of many offers, few redemptions share a quarter. The offers are named, for their indexes.
# Materialized, so that the coordinator of a cluster groups what its machines have counted.
events_of_all = text(
    """
    WITH event AS MATERIALIZED (
        SELECT offer_id, 'redeemed' AS kind, redeemed_at::date AS day,
            currency, count(*) AS number, coalesce(sum(discount_amount), 0) AS amount,
            coalesce(sum(order_amount), 0) AS turnover
        FROM redemptions WHERE offer_id = ANY(:offers)
            AND redeemed_at >= :since AND redeemed_at < :until
        GROUP BY 1, 3, 4
        UNION ALL SELECT offer_id, 'reversed', reversed_at::date,
            currency, count(*), coalesce(sum(discount_amount), 0), coalesce(sum(order_amount), 0)
        FROM redemptions WHERE offer_id = ANY(:offers)
            AND reversed_at >= :since AND reversed_at < :until
        GROUP BY 1, 3, 4
        UNION ALL """
    + _counted.format(counted="day BETWEEN :first AND :last")
    + """
    )
    SELECT offer_id, kind, day, currency,
        sum(number)::bigint, sum(amount), sum(turnover)
    FROM event GROUP BY GROUPING SETS ((offer_id, kind, currency), (day, kind, currency))"""
)

budget_of = text("""
    WITH held AS (
        SELECT count(*) AS uses, coalesce(sum(amount), 0) AS amount
        FROM budget_holds WHERE offer_id = :offer_id AND held_until > now()
    )
    SELECT redemption_count, discount_total,
        CASE WHEN max_redemptions IS NOT NULL THEN
            greatest(0, max_redemptions - redemption_count - held.uses)
        END AS remaining_redemptions,
        CASE WHEN max_discount_total IS NOT NULL THEN
            greatest(0, max_discount_total - discount_total - held.amount)
        END AS remaining_discount_total
    FROM offer_budgets JOIN offers ON offers.id = offer_id, held
    WHERE offer_id = :offer_id AND redemption_count IS NOT NULL""")
