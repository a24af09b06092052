"""Counts the rows that break a rule which no single constraint can hold."""

from sqlalchemy import select, text

from voucherpool.db import db
from voucherpool.vouchers import partitions
from voucherpool.vouchers.archive import everywhere

open_holds = """
    SELECT code_key, count(*) AS held, count(DISTINCT terms->>'customer') AS holders
    FROM vouchers, jsonb_each(holds) AS hold(id, terms)
    WHERE (terms->>'until')::timestamptz > now()
    GROUP BY code_key"""

live = "SELECT code_key, count(*) AS uses FROM redemptions WHERE reversed_at IS NULL GROUP BY 1"

live_of_customers = """
    SELECT offer_id, customer_id, sum(uses) AS uses
    FROM (
        SELECT offer_id, redemptions.customer_id, count(*) AS uses
        FROM redemptions JOIN vouchers USING (code_key)
        WHERE reversed_at IS NULL
        GROUP BY 1, 2
        UNION ALL SELECT offer_id, customer_id, redemption_count FROM purged_redemptions
    ) AS live
    GROUP BY 1, 2"""

happened = f"""
    SELECT offer_id, day, sum(issued) AS issued, sum(claimed) AS claimed,
        sum(redeemed) AS redeemed, sum(reversed) AS reversed,
        sum(used_up) AS used_up, sum(expired) AS expired
    FROM (
        {partitions.happened.format(vouchers="vouchers", redemptions="redemptions")}
        UNION ALL SELECT * FROM purged_vouchers
    ) AS happened
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
        WHERE code_key IS NOT NULL AND (claims.offer_id, claims.customer_id)
            IS DISTINCT FROM (vouchers.offer_id, vouchers.customer_id)""",
    "an offer's figures of a day are not what happened": f"""
        SELECT count(*) FROM ({counted}) AS counted
        FULL JOIN ({happened}) AS happened USING (offer_id, day)
        WHERE (counted.issued, counted.claimed, counted.redeemed, counted.reversed)
            IS DISTINCT FROM
            (happened.issued, happened.claimed, happened.redeemed, happened.reversed)""",
    "an offer's used_up is not its number of vouchers without a use left": f"""
        SELECT count(*) FROM
        (SELECT offer_id, sum(used_up) AS counted FROM offer_figures GROUP BY 1) AS counted
        FULL JOIN
        (SELECT offer_id, sum(used_up) AS there FROM ({happened}) AS happened GROUP BY 1) AS there
        USING (offer_id)
        WHERE coalesce(counted, 0) <> coalesce(there, 0)""",
    "an offer's expired_archived is not its number of vouchers that were archived unused": """
        SELECT count(*) FROM
        (SELECT offer_id, sum(expired_archived) AS counted FROM offer_figures GROUP BY 1) AS counted
        FULL JOIN
        (
            SELECT offer_id, sum(expired) AS there FROM (
                SELECT offer_id, 1 FROM vouchers
                WHERE used_at IS NULL AND archived_at IS NOT NULL
                UNION ALL SELECT offer_id, expired FROM purged_vouchers
            ) AS unused (offer_id, expired)
            GROUP BY 1
        ) AS there
        USING (offer_id)
        WHERE coalesce(counted, 0) <> coalesce(there, 0)""",
    "a code has more than one voucher": """
        SELECT count(*) - count(DISTINCT code_key) FROM vouchers""",
    "a redemption is not where its voucher is": """
        SELECT count(*) FROM redemptions LEFT JOIN vouchers USING (code_key)
        WHERE vouchers.code_key IS NULL
        OR redemptions.archived_at IS DISTINCT FROM vouchers.archived_at""",
}


def breaches() -> dict[str, int]:
    """Return how many rows of hot tables and archive break each rule, all seen at one moment."""
    columns = (f"({query}) AS rule_{number}" for number, query in enumerate(rules.values()))
    counts = db.session.execute(everywhere(select(*map(text, columns)))).one()
    return dict(zip(rules, counts, strict=True))
