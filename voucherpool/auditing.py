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
        WHERE redemptions.customer_id <> vouchers.customer_id""",
}


def breaches() -> dict[str, int]:
    """Return how many rows break each rule, all seen at one moment."""
    columns = (f"({query}) AS rule_{number}" for number, query in enumerate(rules.values()))
    counts = db.session.execute(text(f"SELECT {', '.join(columns)}")).one()
    return dict(zip(rules, counts, strict=True))
