"""Limits per customer: counts a customer's redemptions of an offer.

It adds the live rows of the ledger and the totals of the archive.
"""

from typing import NamedTuple

from voucherpool.database.statements import Statement

# Plus 0, so that PostgreSQL reads the customer's redemptions by their index, and not all of the
# offer's. Before it has analyzed the table, it cannot tell which are fewer.
counted = """(
            SELECT count(*) FROM redemptions AS ledger
            WHERE ledger.customer_id = :customer_id AND ledger.offer_id + 0 = :offer_id
                AND ledger.reversed_at IS NULL
        ) + coalesce((
            SELECT totals.redemption_count FROM customer_totals AS totals
            WHERE totals.customer_id = :customer_id AND totals.offer_id = :offer_id
        ), 0)"""
"""A customer's live redemptions of an offer."""

types = {"offer_id": "bigint", "customer_id": "bigint"}

is_within = f"""offers.max_redemptions_per_customer IS NULL
        OR offers.max_redemptions_per_customer > {counted}"""
"""Whether the count is below the limit of the offer in the FROM list.

It is exact only under lock(): then no other redemption of the customer can commit meanwhile.
"""


class RedemptionCount(NamedTuple):
    """A customer's live redemptions of an offer."""

    redemption_count: int


count = Statement(
    "count_of_customer", RedemptionCount, f"SELECT {counted} AS redemption_count", types
)


def reached(offer_id: int | None, customer_id: int | None, limit: int | None) -> bool:
    """Tell whether a customer has reached an offer's limit."""
    if limit is None:
        return False
    found = count.one_or_none({"offer_id": offer_id, "customer_id": customer_id})
    return found is not None and found.redemption_count >= limit


def lock(offer_id: int | None, customer_id: int | None) -> str:
    """Return the SQL that locks counting a customer's redemptions of an offer until the commit.

    A statement after it, in the same message, sees all that earlier holders committed.
    """
    return f"SELECT pg_advisory_xact_lock(hashtextextended('limit:{offer_id}:{customer_id}', 0))"


class ExhaustedOffer(NamedTuple):
    """An offer whose limit a customer has reached."""

    id: int


def exhausted_offers(customer_id: int) -> list[int]:
    """Return the offers whose limit a customer has reached."""
    return [offer.id for offer in exhausted.all({"customer_id": customer_id})]


exhausted = Statement(
    "exhausted_offers",
    ExhaustedOffer,
    """
    SELECT offers.id
    FROM offers JOIN (
        SELECT ledger.offer_id + 0 AS offer_id, count(*) AS redemption_count
        FROM redemptions AS ledger
        WHERE ledger.customer_id = :customer_id AND ledger.reversed_at IS NULL
        GROUP BY 1
        UNION ALL
        SELECT offer_id, redemption_count FROM customer_totals WHERE customer_id = :customer_id
    ) AS counted ON counted.offer_id = offers.id
    GROUP BY offers.id
    HAVING sum(counted.redemption_count) >= offers.max_redemptions_per_customer""",
    {"customer_id": "bigint"},
)
