"""Reserves uses of vouchers during a checkout."""

import uuid
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Boolean, Text, bindparam, func, literal_column, text, update
from sqlalchemy.dialects.postgresql import JSONB

from voucherpool.database import cluster
from voucherpool.database.model import db
from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.offers.models import Offer
from voucherpool.vouchers import on_cluster
from voucherpool.vouchers.checkout import hold_sql
from voucherpool.vouchers.checkout.hold_sql import Hold
from voucherpool.vouchers.eligibility import budgets, state
from voucherpool.vouchers.eligibility.state import VoucherState
from voucherpool.vouchers.errors import VoucherHeld
from voucherpool.vouchers.models import Voucher, open_holds


class TooManyHolds(VoucherHeld):
    detail = f"{hold_sql.most_holds} customers hold this voucher, as many as may: try again later."


class Crowded(NamedTuple):
    """A voucher that as many customers hold as may."""

    code_key: str


def hold(
    code: str,
    email: str,
    ttl_seconds: int,
    order_amount: Decimal | None = None,
    currency: str | None = None,
) -> Hold:
    """Reserve one use for the seconds given, or extend the customer's open hold.

    With the order's amount or currency, it is refused like the order's redemption. Of a budget of
    the offer it reserves a use, and the discount of an order whose amount is given.

    Raises rules.refusals, rules.order_refusals, TooManyHolds, and LostRace.
    """
    request = state.request(code, email, None, order_amount, currency)
    wanted = {**request, "ttl": ttl_seconds, "new_id": str(uuid.uuid4())}
    held = hold_short.one_or_none({name: wanted[name] for name in hold_sql.types})
    if held is None:
        voucher = state.read(request, state.for_hold)
        of_order = order_amount is not None or currency is not None
        if refused := state.refusal(voucher, of_order=of_order):
            raise refused
        held = _hold_counting(wanted, voucher)
    if held is None:
        this = {name: request[name] for name in ("key", "email")}
        raise TooManyHolds if crowded.all(this) else LostRace
    return held


def _hold_counting(wanted: dict[str, object], voucher: VoucherState) -> Hold | None:
    """Hold a voucher of an offer with limits."""
    this = wanted | {"offer_id": voucher.offer_id, "customer_id": voucher.customer_id}
    del this["order_ref"]
    lock = budgets.lock(voucher.offer_id) if voucher.has_budget else ""
    if cluster.is_cluster():
        return on_cluster.hold_counting(this, voucher, before=lock)
    return hold_counting.one_or_none(this, before=lock)


def release(hold_id: uuid.UUID) -> None:
    """End a hold; do nothing if it is over or unknown."""
    this = {"hold_id": str(hold_id)}
    for voucher in db.session.execute(release_one, this).all():
        if voucher.has_budget:
            db.session.execute(unreserve, {"offer_id": voucher.offer_id, **this})


def release_all(customer_id: int) -> None:
    """End all holds of a customer."""
    theirs = {"customer": customer_id}
    # One by one and sorted, because two requests that lock the same vouchers in different orders
    # can deadlock.
    for key in db.session.scalars(_held_by, theirs).all():
        db.session.execute(_release_those_of, {**theirs, "key": key})
    db.session.execute(unreserve_those_of, theirs)


def of_customer(customer_id: int) -> Iterator[Mapping[str, object]]:
    """Yield the code and the end of each open hold of a customer."""
    for hold in db.session.execute(_open_of, {"customer": customer_id}).mappings():
        yield dict(hold)


hold_short = Statement("hold", Hold, hold_sql.short_form, hold_sql.types)
hold_counting = Statement("hold_counting", Hold, hold_sql.hold_counting, hold_sql.counting_types)

crowded = Statement(
    "look_for_room",
    Crowded,
    f"""
    SELECT code_key FROM vouchers JOIN customers ON customers.email_key = :email
    WHERE code_key = :key AND NOT {hold_sql.has_room}""",
    {"key": "text", "email": "text"},
)

_id = bindparam("hold_id", type_=Text)
_no_holds = literal_column("'{}'::jsonb", JSONB)
_has_budget = literal_column(f"NOT ({budgets.is_absent})", Boolean)

release_one = (
    update(Voucher.__table__)
    .where(Voucher.holds.has_key(_id), Offer.id == Voucher.offer_id)
    .values(holds=func.nullif(Voucher.holds.op("-")(_id), _no_holds))
    .returning(Voucher.offer_id, _has_budget.label("has_budget"))
)

unreserve = text("""
    DELETE FROM budget_holds WHERE offer_id = :offer_id AND hold_id = :hold_id""")
unreserve_those_of = text("DELETE FROM budget_holds WHERE customer_id = :customer")

_is_held_by = "holds @? format('$.*.customer ? (@ == %s)', CAST(:customer AS bigint))::jsonpath"

_held_by = text(f"SELECT code_key FROM vouchers WHERE {_is_held_by} ORDER BY code_key")

_open_of = text(f"""
    SELECT code, to_timestamp(until) AS held_until
    FROM vouchers, LATERAL (
        SELECT (terms->>'customer')::bigint, (terms->>'until')::numeric FROM {open_holds}
    ) AS held (customer_id, until)
    WHERE {_is_held_by} AND held.customer_id = :customer
    ORDER BY until, code""")

_release_those_of = text("""
    UPDATE vouchers SET holds = (
        SELECT jsonb_object_agg(id, terms) FROM jsonb_each(holds) AS hold(id, terms)
        WHERE (terms->>'customer')::bigint <> :customer
    )
    WHERE code_key = :key AND holds IS NOT NULL""")
