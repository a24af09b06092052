"""Redeems vouchers: one statement takes a use and writes the redemption, on a cluster two."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Update,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from voucherpool.customers.models import Customer
from voucherpool.database import cluster
from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import after_commit, present_transaction
from voucherpool.errors import OrderMismatch, RedemptionReversed
from voucherpool.observability import counting, metrics
from voucherpool.offers.models import Offer
from voucherpool.vouchers import (
    codes,
    conditions,
    eligibility,
    event_types,
    events,
    limits,
    listeners,
)
from voucherpool.vouchers.eligibility import Seen
from voucherpool.vouchers.models import Redemption, Voucher


class Redeemed(NamedTuple):
    """A redemption as its customer sees it; amounts are in `currency`."""

    id: str
    redeemed_at: datetime
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None


def redeem(
    code: str,
    email: str,
    order_ref: str | None = None,
    order_amount: Decimal | None = None,
    currency: str | None = None,
) -> Redeemed:
    """Take one use of a voucher and return its redemption.

    `order_amount` is in `currency`. The customer's own hold becomes the use. A repeat with the same
    order, customer and amount gets the first redemption.

    Raises conditions.refusals, conditions.order_refusals, OrderMismatch, RedemptionReversed and
    LostRace.
    """
    # An event needs a transaction: without one, nothing is taken once somebody listens.
    heard = present_transaction() is not None and are_heard()
    unheard_until = None if heard else listeners.unheard_until(event_types.redeemed)
    more = {"order_ref": order_ref, "unheard_until": unheard_until}
    request = eligibility.request(code, email, order_amount, currency, **more)
    redeemed = take_free.run(request)
    if redeemed is None:
        seen = eligibility.look(request)
        if seen.earlier_id is not None:
            return _repeated(seen, order_amount, currency)
        # The statement checks a limit itself; counting before it would cost a round trip.
        if refused := eligibility.refusal(seen, counting=False):
            raise eligibility.refusal(seen) or refused
        redeemed = _take_with_holds_and_limit(request, seen)
    if heard:
        events.record_redemption(event_types.redeemed, codes.normal_form(code), redeemed.id)
    after_commit(partial(counting.later, metrics.redeemed.inc))
    return redeemed


def are_heard() -> bool:
    """Tell whether somebody listens for redemptions, so that a redemption also writes an event."""
    return listeners.hear(event_types.redeemed)


def needs_transaction() -> bool:
    """Tell whether a redemption takes more than one statement."""
    return cluster.is_cluster() or are_heard()


def _repeated(seen: Seen, order_amount: Decimal | None, currency: str | None) -> Redeemed:
    """Return the order's redemption if customer, amount and any currency given are the same."""
    earlier = (seen.earlier_customer_id, seen.earlier_order_amount)
    if earlier != (seen.customer_id, order_amount):
        raise OrderMismatch
    if currency not in (None, seen.earlier_currency):
        raise OrderMismatch
    if seen.earlier_id is None or seen.earlier_reversed_at is not None:
        raise RedemptionReversed
    return Redeemed(
        seen.earlier_id,
        seen.earlier_redeemed_at,
        seen.earlier_discount,
        seen.discount_type,
        seen.earlier_currency,
        seen.earlier_discount_amount,
    )


def _take_with_holds_and_limit(request: dict[str, object], seen: Seen) -> Redeemed:
    """Take a use of a voucher with holds or of an offer with a limit per customer."""
    lock = None
    if seen.customer_limit is not None:
        lock = limits.lock_name(seen.offer_id, seen.customer_id)
    named = {"offer_id": seen.offer_id, "customer_id": seen.customer_id}
    redeemed = take_counting.run(request | named, lock=lock)
    if redeemed is None:
        refused = eligibility.refusal(seen)
        # A concurrent request of the same order may have taken the last use: look again.
        if refused is None or eligibility.look(request).earlier_id is not None:
            raise LostRace
        raise refused
    return redeemed


class Taken(NamedTuple):
    """A use that was taken, as the ledger has it."""

    code_key: str
    customer_id: int
    offer_id: int
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None
    order_ref: str | None
    order_amount: Decimal | None


class Taking:
    """Takes a use that meets the conditions, and writes the redemption: both or neither.

    It returns None if a condition fails, and breaks the ledger's unique index if a concurrent
    request redeemed the same order first.
    """

    def __init__(
        self, name: str, *more: ColumnElement[bool], holds: ColumnElement[object] | None = None
    ) -> None:
        first = _update(more, holds)
        taken = first.cte("taken")
        ledger = insert(Redemption.__table__).from_select(Taken._fields, select(taken))
        self.first = Statement(f"{name}_first", Taken, first)
        self.whole = Statement(name, Redeemed, ledger.returning(*_redeemed))

    def run(self, values: Mapping[str, object], lock: str | None = None) -> Redeemed | None:
        """Run it, after taking the advisory `lock`; on a cluster, in the open transaction."""
        # On a cluster there is a transaction: needs_transaction() says so.
        if present_transaction() is None or not cluster.is_cluster():
            return self.whole.one_or_none(values, lock=lock)
        # Citus would bring the CTE's row to the coordinator and copy it back in bulk.
        taken = self.first.one_or_none(values, lock=lock)
        if taken is None:
            return None
        return enter.one_or_none({f"new_{name}": value for name, value in taken._asdict().items()})


def _update(more: Iterable[ColumnElement[bool]], holds: ColumnElement[object] | None) -> Update:
    values = {"redemption_count": Voucher.redemption_count + 1, "used_at": _now_if_last}
    if holds is not None:
        values["holds"] = holds
    return (
        update(Voucher.__table__)
        .where(
            *conditions.guard,
            conditions.order_accepted,
            _is_new_order,
            _needs_no_event,
            *more,
        )
        .values(values)
        .returning(
            Voucher.code_key,
            Customer.id.label("customer_id"),
            Offer.id.label("offer_id"),
            conditions.discount.label("discount"),
            Offer.discount_type,
            conditions.currency.label("currency"),
            conditions.discount_amount.label("discount_amount"),
            conditions.order_ref.label("order_ref"),
            conditions.order_amount.label("order_amount"),
        )
    )


# Not a CASE: Citus does not allow now() in one.
_now_if_last = (
    select(func.now())
    .where(Voucher.redemption_count + 1 == Voucher.max_redemptions)
    .correlate(Voucher)
    .scalar_subquery()
)

_ledger = aliased(Redemption, name="ledger")
_is_new_order = ~exists().where(
    _ledger.code_key == Voucher.code_key, _ledger.order_ref == conditions.same_order
).correlate(Voucher)

_unheard_until = bindparam("unheard_until", None, type_=DateTime(timezone=True))
_needs_no_event = or_(_unheard_until.is_(None), func.statement_timestamp() < _unheard_until)

_holds_of_others = literal_column(
    f"(SELECT jsonb_object_agg(id, terms) FROM {conditions.holds_of_others})", JSONB
)

_ledger_columns = Redemption.__table__.c
_redeemed = tuple(_ledger_columns[name] for name in Redeemed._fields)
_new = {name: bindparam(f"new_{name}", type_=_ledger_columns[name].type) for name in Taken._fields}
enter = Statement(
    "enter_redemption", Redeemed, insert(Redemption.__table__).values(_new).returning(*_redeemed)
)

take_free = Taking("redeem", Voucher.holds.is_(None), Offer.max_redemptions_per_customer.is_(None))
"""For a voucher without holds, of an offer without a limit: nearly every redemption."""

take_counting = Taking(
    "redeem_counting", conditions.unheld, limits.within_limit, holds=_holds_of_others
)
"""For all others: also counts holds and the customer's redemptions of the offer."""
