"""Redeems, holds and issues on a Citus cluster, by several statements in the open transaction.

Citus would bring the row of an inserting CTE to the coordinator and copy it back in bulk, and it
writes no table of the coordinator in the statement that writes one machine's.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy.dialects.postgresql import insert

from voucherpool.customers import service as customers
from voucherpool.database.model import db
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import require_future
from voucherpool.events import event_types, subscribers
from voucherpool.offers import counts
from voucherpool.offers import service as offers
from voucherpool.vouchers import events
from voucherpool.vouchers.checkout import hold_sql, redeem_sql
from voucherpool.vouchers.checkout.hold_sql import Hold
from voucherpool.vouchers.checkout.redeem_sql import Redeemed
from voucherpool.vouchers.eligibility import budgets, limits
from voucherpool.vouchers.eligibility.state import VoucherState
from voucherpool.vouchers.models import Voucher


class Taken(NamedTuple):
    """A voucher after a use was taken, and the terms of the redemption."""

    code_key: str
    code: str
    customer_id: int | None
    offer_id: int
    frozen_discount: Decimal | None
    expires_at: datetime | None
    max_redemptions: int
    redemption_count: int
    disabled_at: datetime | None
    batch_id: int | None
    redeemer_id: int
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None


class Redeem:
    """Takes a use that meets the rules, then writes the redemption and its event.

    With `has_budget` it takes the redemption out of its offer's budget, if that has one.
    """

    def __init__(
        self, name: str, take: str, types: Mapping[str, str], *, has_budget: bool = False
    ) -> None:
        self.take, self._types = Statement(name, Taken, take, types), types
        self._has_budget = has_budget

    def one_or_none(self, request: dict[str, object], *, before: str = "") -> Redeemed | None:
        """Run it, after the SQL `before` it; return None if a rule is broken."""
        asked = {key: request[key] for key in self._types}
        taken = self.take.one_or_none(asked, before=before)
        if taken is None:
            return None
        entry = {name: getattr(taken, name) for name in entry_terms}
        order = {key: request[key] for key in ("order_ref", "order_amount", "metadata")}
        redeemed = enter.one_or_none(entry | order)
        if redeemed is not None:
            _record_redemption(taken.code_key, redeemed.id)
            if self._has_budget:
                _spend(taken)
        return redeemed


def _spend(taken: Taken) -> None:
    """Take a redemption out of its offer's budget, which is locked last."""
    this = {"key": taken.code_key, "offer_id": taken.offer_id, "customer_id": taken.redeemer_id}
    unreserve.run(this)
    budgets.add(taken.offer_id, 1, taken.discount_amount, taken.currency)


redeem_short = Redeem("redeem_on_cluster", redeem_sql.short_form, redeem_sql.take_types)
redeem_counting = Redeem(
    "redeem_counting_on_cluster",
    redeem_sql.counting_form,
    redeem_sql.take_types | limits.types,
    has_budget=True,
)

unreserve = Statement(
    "unreserve_budget",
    tuple,
    """
    DELETE FROM budget_holds
    WHERE offer_id = :offer_id AND code_key = :key AND customer_id = :customer_id""",
    budgets.types,
)

entry_terms = {
    "code_key": "text",
    "redeemer_id": "bigint",
    "offer_id": "bigint",
    "discount": "numeric",
    "discount_type": "text",
    "currency": "text",
    "discount_amount": "numeric",
}

enter = Statement(
    "enter_redemption",
    Redeemed,
    f"""
    INSERT INTO redemptions (
        code_key, customer_id, offer_id, discount, discount_type, currency, discount_amount,
        order_ref, order_amount, metadata
    )
    VALUES (:code_key, :redeemer_id, :offer_id, :discount, :discount_type, :currency,
        :discount_amount, :order_ref, :order_amount, :metadata)
    RETURNING {redeem_sql.redeemed_columns}""",
    {**entry_terms, "order_ref": "text", "order_amount": "numeric", "metadata": "jsonb"},
)


def hold_counting(
    wanted: Mapping[str, object], voucher: VoucherState, *, before: str
) -> Hold | None:
    """Hold a voucher of an offer with limits, after the SQL `before` it, and reserve its budget."""
    held = hold_within_limits.one_or_none(wanted, before=before)
    if held is not None and voucher.has_budget:
        ids = {name: wanted[name] for name in budgets.types}
        reserve.run({**ids, "amount": voucher.discount_amount, **held._asdict()})
    return held


hold_within_limits = Statement(
    "hold_counting_on_cluster", Hold, hold_sql.counting_form, hold_sql.counting_types
)

reserve = Statement(
    "reserve_budget",
    tuple,
    f"""
    INSERT INTO budget_holds (offer_id, code_key, customer_id, hold_id, held_until, amount)
    VALUES (
        :offer_id, :key, :customer_id, :hold_id, :held_until, :amount
    ){hold_sql.reserve_or_extend}""",
    {**budgets.types, "hold_id": "text", "held_until": "timestamptz", "amount": "numeric"},
)


def issue_one(terms: Mapping[str, object]) -> bool:
    """Issue a voucher by the terms of vouchers.issuing.issue_one; return False if its code exists.

    Raises as vouchers.issuing.issue.
    """
    this: dict[str, Any] = dict(terms)
    require_future(this["expires_at"])
    customer_id = None if this["email"] is None else customers.id_of(this["email"])
    offer = offers.at_discount(this["offer_name"], this["discount"])
    voucher = insert(Voucher).values(
        code=this["code"],
        code_key=this["key"],
        offer_id=offer.id,
        customer_id=customer_id,
        expires_at=this["expires_at"],
        max_redemptions=this["max_redemptions"],
        frozen_discount=offer.discount if this["freeze"] else None,
        is_chosen=this["is_chosen"],
    )
    voucher = voucher.on_conflict_do_nothing(index_elements=[Voucher.code_key])
    if db.session.scalar(voucher.returning(Voucher.code_key)) is None:
        return False
    record_event(event_types.issued, this["key"], announced=this["notify"])
    counts.count_issued(offer.id, 1)
    return True


class Subscribers(NamedTuple):
    """Whether somebody subscribed to events of a type."""

    exist: bool


def record_event(type_: str, code_key: str, *, announced: bool = False) -> None:
    """Record an event as events.record() does, which costs more if nobody subscribed to it."""
    if announced or _has_subscribers(type_):
        events.record(type_, code_key, announced=announced)


def _record_redemption(code_key: str, redemption_id: str) -> None:
    if _has_subscribers(event_types.redeemed):
        record_redemption.run({"key": code_key, "redemption": redemption_id})


def _has_subscribers(type_: str) -> bool:
    found = find_subscribers.one_or_none({"type": type_})
    return found is not None and found.exist


find_subscribers = Statement(
    "subscribers",
    Subscribers,
    f"SELECT {subscribers.has_subscribers(':type')} AS exist",
    {"type": "text"},
)

record_redemption = Statement(
    "record_redemption",
    tuple,
    f"""
    INSERT INTO events (code_key, type, customer_id, data)
    SELECT vouchers.code_key, '{event_types.redeemed}', redemptions.customer_id,
        jsonb_build_object(
            'voucher', {events.voucher_data}, 'redemption', {events.redemption_data}
        )
    FROM vouchers
        JOIN redemptions ON redemptions.code_key = :key AND redemptions.id = :redemption
        JOIN offers ON offers.id = vouchers.offer_id
    WHERE vouchers.code_key = :key""",
    {"key": "text", "redemption": "uuid"},
)
