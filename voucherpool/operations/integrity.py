"""Counts the rows that break a rule that no single constraint can enforce."""

from sqlalchemy import select, text

from voucherpool.archive import moving
from voucherpool.database.model import db
from voucherpool.input.fields import Email
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.models import open_holds

held = f"""
    SELECT code_key, count(*) AS held, count(DISTINCT terms->>'customer') AS holders
    FROM vouchers, {open_holds}
    GROUP BY code_key"""

live = "SELECT code_key, count(*) AS uses FROM redemptions WHERE reversed_at IS NULL GROUP BY 1"

archived_events = moving.events.format(where="WHERE true")

issued = """
    SELECT offer_id, sum(issued) AS counted FROM offer_counts GROUP BY 1"""

there = """
    SELECT offer_id, sum(number) AS there FROM (
        SELECT offer_id, 1 FROM vouchers WHERE archived_at IS NULL
        UNION ALL SELECT offer_id, used_up + expired FROM archived_totals
    ) AS voucher (offer_id, number) GROUP BY 1"""

of_vouchers = {
    "a voucher's redemption_count is not its number of live redemptions": f"""
        SELECT count(*) FROM vouchers LEFT JOIN ({live}) AS live USING (code_key)
        WHERE redemption_count <> coalesce(uses, 0)""",
    "a voucher has more redemptions and open holds than it may have": f"""
        SELECT count(*) FROM vouchers JOIN ({held}) AS held USING (code_key)
        WHERE redemption_count + held > max_redemptions""",
    "a customer has more than one open hold on a voucher": f"""
        SELECT count(*) FROM ({held}) AS held WHERE held > holders""",
    "a redemption is not of its voucher's offer": """
        SELECT count(*) FROM redemptions JOIN vouchers USING (code_key)
        WHERE redemptions.offer_id <> vouchers.offer_id""",
    "a redemption is not in its offer's kind of discount or currency": """
        SELECT count(*) FROM redemptions JOIN offers ON offers.id = redemptions.offer_id
        WHERE redemptions.discount_type <> offers.discount_type
        OR redemptions.currency <> offers.currency""",
    "a redemption is not by the customer to whom its voucher is bound": """
        SELECT count(*) FROM redemptions JOIN vouchers USING (code_key)
        WHERE redemptions.customer_id <> vouchers.customer_id
        AND (reversed_at IS NULL OR claimed_at IS NULL)""",
    # A voucher that was made after the claim is another one, under the code of one that was purged.
    "a claim's voucher is not of its offer, customer or moment": """
        SELECT count(*) FROM claims JOIN vouchers USING (code_key)
        WHERE (vouchers.claimed_at = claims.claimed_at OR created_at <= claims.claimed_at)
        AND (claims.offer_id, claims.customer_id, claims.claimed_at)
            IS DISTINCT FROM (vouchers.offer_id, vouchers.customer_id, vouchers.claimed_at)""",
    "a code has more than one voucher": """
        SELECT count(*) - count(DISTINCT code_key) FROM vouchers""",
    "a redemption is not where its voucher is": """
        SELECT count(*) FROM redemptions LEFT JOIN vouchers USING (code_key)
        WHERE vouchers.code_key IS NULL
        OR redemptions.archived_at IS DISTINCT FROM vouchers.archived_at""",
}

of_counts = {
    "an offer's count of issued vouchers is not their number": f"""
        SELECT count(*) FROM ({issued}) AS counted FULL JOIN ({there}) AS there USING (offer_id)
        WHERE coalesce(counted, 0) <> coalesce(there, 0)""",
    "an offer's count of claimed vouchers is less than their number": """
        SELECT count(*) FROM
        (SELECT offer_id, count(*) AS there FROM vouchers WHERE claimed_at IS NOT NULL GROUP BY 1)
        AS there
        LEFT JOIN (SELECT offer_id, sum(claimed) AS counted FROM offer_counts GROUP BY 1) AS counted
        USING (offer_id)
        WHERE there > coalesce(counted, 0)""",
    # Not by day: the shop's time zone may have changed since.
    "the archive holds more of an offer and currency than its totals": f"""
        SELECT count(*) FROM (
            SELECT offer_id, currency, {moving.sums} FROM ({archived_events}) AS event GROUP BY 1, 2
        ) AS there
        LEFT JOIN (
            SELECT offer_id, currency, {moving.sums} FROM archived_totals GROUP BY 1, 2
        ) AS total USING (offer_id, currency)
        WHERE ({" AND ".join(f"there.{name} <= total.{name}" for name in moving.summed)})
            IS NOT TRUE""",
    "the archive holds more live redemptions of a customer than the totals": f"""
        SELECT count(*) FROM (
            SELECT coalesce(customer_id, {moving.nobody}) AS customer_id, offer_id,
                count(*) AS uses
            FROM redemptions
            WHERE reversed_at IS NULL AND archived_at IS NOT NULL GROUP BY 1, 2
        ) AS there
        LEFT JOIN customer_totals USING (customer_id, offer_id)
        WHERE uses > coalesce(redemption_count, 0)""",
    "the archive's totals of an offer and of its customers differ": """
        SELECT count(*) FROM
        (SELECT offer_id, sum(redeemed - reversed) AS live FROM archived_totals GROUP BY 1) AS offer
        FULL JOIN
        (SELECT offer_id, sum(redemption_count) AS live FROM customer_totals GROUP BY 1) AS customer
        USING (offer_id)
        WHERE coalesce(offer.live, 0) <> coalesce(customer.live, 0)""",
}

used = """
    SELECT offer_id, sum(uses) AS uses,
        coalesce(sum(amount) FILTER (WHERE part.currency = offers.currency), 0) AS amount
    FROM (
        SELECT offer_id, currency, 1, discount_amount FROM redemptions
        WHERE reversed_at IS NULL AND archived_at IS NULL
        UNION ALL SELECT offer_id, currency, redeemed - reversed, discounted - given_back
        FROM archived_totals
    ) AS part (offer_id, currency, uses, amount) JOIN offers ON offers.id = offer_id
    GROUP BY 1"""

of_budgets = {
    "what is used of an offer's budget is not what its live redemptions took": f"""
        SELECT count(*) FROM offer_budgets LEFT JOIN ({used}) AS live USING (offer_id)
        WHERE recount_at IS NULL AND (redemption_count, discount_total)
            IS DISTINCT FROM (coalesce(uses, 0), coalesce(amount, 0))""",
}

of_changes = {
    "a running change has not as many vouchers ahead as its counts say": """
        SELECT count(*) FROM changes LEFT JOIN (
            SELECT change_id, sum(cardinality(code_keys)) AS ahead FROM change_vouchers GROUP BY 1
        ) AS kept ON kept.change_id = changes.id
        WHERE coalesce(ahead, 0) <> CASE state
            WHEN 'running' THEN matched - changed - skipped WHEN 'failed' THEN ahead ELSE 0 END""",
}

# By the pattern of the fields itself: PostgreSQL reads it as Python does.
of_customers = {
    "a customer's e-mail would be refused today": """
        SELECT count(*) FROM customers WHERE email !~ :form OR length(email) > :longest""",
}

rules = {**of_vouchers, **of_counts, **of_budgets, **of_changes, **of_customers}


counts = including_archive(
    select(*(text(f"({query}) AS rule_{number}") for number, query in enumerate(rules.values())))
)
of_email = {"form": Email.form.pattern, "longest": Email.longest}


def breaches() -> dict[str, int]:
    """Return how many rows, including the archive, break each rule; in one snapshot."""
    return dict(zip(rules, db.session.execute(counts, of_email).one(), strict=True))
