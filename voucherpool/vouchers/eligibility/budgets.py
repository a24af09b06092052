"""Budgets of offers: how often, and for how much in all, an offer's vouchers may be redeemed.

What is used is counted in a row of its own, which is locked last: after the voucher's row. Open
holds reserve their part beside it.
"""

from decimal import Decimal
from typing import NamedTuple

from voucherpool.database.statements import Statement

is_absent = "offers.max_redemptions IS NULL AND offers.max_discount_total IS NULL"
"""Whether the offer in the FROM list has no budget."""

_is_open = "reserved.offer_id = :offer_id AND reserved.held_until > now()"
_is_own = f"{_is_open} AND reserved.code_key = :key AND reserved.customer_id = :customer_id"


def _taken(used: str, reserved: str) -> str:
    """Return what is used or reserved by others; NULL if it is not counted yet."""
    return f"""(SELECT {used} FROM offer_budgets AS budget WHERE budget.offer_id = :offer_id)
            + (SELECT {reserved} FROM budget_holds AS reserved WHERE {_is_open})
            - (SELECT {reserved} FROM budget_holds AS reserved WHERE {_is_own})"""


_uses = _taken("redemption_count", "count(*)")
_total = _taken("discount_total", "coalesce(sum(amount), 0)")

types = {"key": "text", "offer_id": "bigint", "customer_id": "bigint"}


def is_within(amount: str) -> str:
    """Return the condition that the budget has room for one more use, which takes off the `amount`.

    It is exact only under lock(). An unknown amount fits while anything is left.
    """
    return f"""(offers.max_redemptions IS NULL OR {_uses} < offers.max_redemptions)
        AND (offers.max_discount_total IS NULL
            OR {_total} + {amount} <= offers.max_discount_total
            OR {amount} IS NULL AND {_total} < offers.max_discount_total)"""


def lock(offer_id: int | None) -> str:
    """Return the SQL that locks the voucher `key`, then the offer's budget, until the commit.

    A statement after it, in the same message, sees all that earlier holders committed.
    """
    return (
        "SELECT 1 FROM vouchers WHERE code_key = %(key)s FOR UPDATE;"
        f"SELECT 1 FROM offer_budgets WHERE offer_id = {offer_id} FOR UPDATE"
    )


class Room(NamedTuple):
    """Whether a budget was counted, and has room."""

    is_counted: bool
    has_room: bool | None


def has_room(
    offer_id: int | None, key: str | None, customer_id: int | None, amount: Decimal | None
) -> bool:
    """Tell whether an offer's budget has room for a redemption that takes off the amount.

    `key` is the voucher; what its customer reserved counts as room.
    """
    asked = {"offer_id": offer_id, "key": key, "customer_id": customer_id, "amount": amount}
    room = read_room.one_or_none(asked)
    if room is not None and not room.is_counted:
        count(offer_id)
        room = read_room.one_or_none(asked)
    return room is None or bool(room.has_room)


def count(offer_id: int | None, *, again: bool = False) -> None:
    """Count what an offer's live redemptions use of its budget, once, or `again` for good."""
    lock_budget = f"SELECT 1 FROM offer_budgets WHERE offer_id = {offer_id} FOR UPDATE"
    count_used.run({"offer_id": offer_id, "again": again}, before=lock_budget)


def add(offer_id: int, uses: int, amount: Decimal | None, currency: str | None) -> None:
    """Add to what is used of an offer's budget, if it has one; call it last in a transaction.

    An amount in another currency than the offer's does not count.
    """
    terms = {"uses": uses, "amount": amount or Decimal(0), "currency": currency}
    add_used.run({"offer_id": offer_id, **terms})


class ExhaustedOffer(NamedTuple):
    """An offer whose budget has nothing left."""

    id: int


def exhausted_offers(customer_id: int) -> list[int]:
    """Return the offers whose budget has nothing left beside what the customer reserved."""
    return [offer.id for offer in exhausted.all({"customer_id": customer_id})]


read_room = Statement(
    "budget_room",
    Room,
    f"""
    SELECT budget.redemption_count IS NOT NULL AS is_counted,
        {is_within(":amount")} AS has_room
    FROM offers JOIN offer_budgets AS budget ON budget.offer_id = offers.id
    WHERE offers.id = :offer_id""",
    types | {"amount": "numeric"},
)

ledger = """
        SELECT currency, count(*) AS uses, sum(discount_amount) AS amount
        FROM redemptions WHERE offer_id = :offer_id GROUP BY 1
        UNION ALL SELECT currency, - count(*), - sum(discount_amount)
        FROM redemptions WHERE offer_id = :offer_id AND reversed_at IS NOT NULL GROUP BY 1
        UNION ALL SELECT currency, redeemed - reversed, discounted - given_back
        FROM archived_totals WHERE offer_id = :offer_id"""
"""The parts of an offer's live redemptions; each uses its own index."""

count_used = Statement(
    "count_budget",
    tuple,
    f"""
    WITH ledger AS ({ledger}
    ),
    live AS (
        SELECT coalesce(sum(uses), 0) AS uses,
            coalesce(sum(amount) FILTER (WHERE ledger.currency = offers.currency), 0) AS amount
        FROM offers LEFT JOIN ledger ON true
        WHERE offers.id = :offer_id
    )
    UPDATE offer_budgets
    SET redemption_count = live.uses, discount_total = live.amount,
        recount_at = CASE WHEN NOT :again THEN recount_at END
    FROM live
    WHERE offer_id = :offer_id AND (:again OR redemption_count IS NULL)""",
    {"offer_id": "bigint", "again": "boolean"},
)

add_used = Statement(
    "add_to_budget",
    tuple,
    """
    UPDATE offer_budgets
    SET redemption_count = redemption_count + :uses,
        discount_total = discount_total
            + CASE WHEN offers.currency = :currency THEN :amount ELSE 0 END
    FROM offers
    WHERE offer_id = :offer_id AND offers.id = :offer_id""",
    {"offer_id": "bigint", "uses": "bigint", "amount": "numeric", "currency": "text"},
)

exhausted = Statement(
    "offers_without_budget",
    ExhaustedOffer,
    """
    SELECT offers.id
    FROM offers JOIN (
        SELECT offer_id, redemption_count AS uses, discount_total AS amount FROM offer_budgets
        UNION ALL
        SELECT offer_id, 1, coalesce(amount, 0) FROM budget_holds
        WHERE held_until > now() AND customer_id <> :customer_id
    ) AS taken ON taken.offer_id = offers.id
    GROUP BY offers.id
    HAVING sum(uses) >= offers.max_redemptions OR sum(amount) >= offers.max_discount_total""",
    {"customer_id": "bigint"},
)
