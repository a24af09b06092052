"""Counts the rows that break a rule which no single constraint can hold."""

from sqlalchemy import text

from voucherpool.db import db

open_holds = """
    SELECT code_key, count(*) AS held, count(DISTINCT terms->>'customer') AS holders
    FROM vouchers, jsonb_each(holds) AS hold(id, terms)
    WHERE (terms->>'until')::timestamptz > now()
    GROUP BY code_key"""

live = "SELECT code_key, count(*) AS uses FROM redemptions WHERE reversed_at IS NULL GROUP BY 1"

live_of_customers = """
    SELECT offer_id, redemptions.customer_id, count(*) AS uses
    FROM redemptions JOIN vouchers USING (code_key)
    WHERE reversed_at IS NULL
    GROUP BY 1, 2"""

happened = """
    SELECT offer_id, (moment AT TIME ZONE 'UTC')::date AS day,
        sum(issued) AS issued, sum(claimed) AS claimed,
        sum(redeemed) AS redeemed, sum(reversed) AS reversed
    FROM (
        SELECT offer_id, created_at, 1, 0, 0, 0 FROM vouchers
        UNION ALL SELECT offer_id, claimed_at, 0, 1, 0, 0 FROM vouchers
        WHERE claimed_at IS NOT NULL
        UNION ALL SELECT offer_id, redeemed_at, 0, 0, 1, 0
        FROM redemptions JOIN vouchers USING (code_key)
        UNION ALL SELECT offer_id, reversed_at, 0, 0, 0, 1
        FROM redemptions JOIN vouchers USING (code_key) WHERE reversed_at IS NOT NULL
    ) AS happened (offer_id, moment, issued, claimed, redeemed, reversed)
    GROUP BY 1, 2"""

counted = """
    SELECT offer_id, day, sum(issued) AS issued, sum(claimed) AS claimed,
        sum(redeemed) AS redeemed, sum(reversed) AS reversed
    FROM offer_figures GROUP BY 1, 2"""

rules = {
    "a voucher's redemption_count is not its number of live redemptions": f"""
        SELECT count(*) FROM vouchers LEFT JOIN ({live}) AS live USING (code_key)
        WHERE redemption_count <> coalesce(uses, 0)""",
    "a voucher has more redemptions and open holds than it may have": f"""
        SELECT count(*) FROM vouchers JOIN ({open_holds}) AS open USING (code_key)
        WHERE redemption_count + held > max_redemptions""",
    "a customer has more than one open hold on a voucher": f"""
        SELECT count(*) FROM ({open_holds}) AS open WHERE held > holders""",
    "a customer's count for an offer is not the number of live redemptions": f"""
        SELECT count(*) FROM customer_redemptions
        FULL JOIN ({live_of_customers}) AS live USING (offer_id, customer_id)
        WHERE coalesce(redemption_count, 0) <> coalesce(uses, 0)""",
    "a redemption is not by the customer to whom its voucher is bound": """
        SELECT count(*) FROM redemptions JOIN vouchers USING (code_key)
        WHERE redemptions.customer_id <> vouchers.customer_id
        AND (reversed_at IS NULL OR claimed_at IS NULL)""",
    "a claim's voucher is not of its offer or customer": """
        SELECT count(*) FROM claims LEFT JOIN vouchers USING (code_key)
        WHERE (claims.offer_id, claims.customer_id)
            IS DISTINCT FROM (vouchers.offer_id, vouchers.customer_id)""",
    "an offer's figures of a day are not what happened": f"""
        SELECT count(*) FROM ({counted}) AS counted
        FULL JOIN ({happened}) AS happened USING (offer_id, day)
        WHERE (counted.issued, counted.claimed, counted.redeemed, counted.reversed)
            IS DISTINCT FROM
            (happened.issued, happened.claimed, happened.redeemed, happened.reversed)""",
    "an offer's used_up is not its number of vouchers without a use left": """
        SELECT count(*) FROM
        (SELECT offer_id, sum(used_up) AS used_up FROM offer_figures GROUP BY 1) AS counted
        FULL JOIN
        (SELECT offer_id, count(used_at) AS used FROM vouchers GROUP BY 1) AS voucher
        USING (offer_id)
        WHERE coalesce(used_up, 0) <> coalesce(used, 0)""",
}


def breaches() -> dict[str, int]:
    """Return how many rows break each rule, all seen at one moment."""
    columns = (f"({query}) AS rule_{number}" for number, query in enumerate(rules.values()))
    counts = db.session.execute(text(f"SELECT {', '.join(columns)}")).one()
    return dict(zip(rules, counts, strict=True))
