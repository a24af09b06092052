"""Reserves uses of vouchers during a checkout."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Text, bindparam, func, literal_column, text, update
from sqlalchemy.dialects.postgresql import JSONB

from voucherpool.database.model import db
from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.errors import VoucherHeld
from voucherpool.vouchers import rules, state
from voucherpool.vouchers.models import Voucher

most_holds = 1000
"""Each hold and redemption reads all holds of its voucher, which are in one row."""


class TooManyHolds(VoucherHeld):
    detail = f"{most_holds} customers hold this voucher, as many as may: try again later."


class Hold(NamedTuple):
    """One use of a voucher, reserved for one customer."""

    hold_id: str
    held_until: datetime


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

    With the order's amount or currency, it is refused like the order's redemption.

    Raises rules.refusals, rules.order_refusals, TooManyHolds, and LostRace.
    """
    request = state.request(code, email, None, order_amount, currency)
    wanted = {name: request[name] for name in ("key", "email", "order_amount", "order_currency")}
    wanted |= {"ttl": ttl_seconds, "new_id": str(uuid.uuid4())}
    held = hold_one.one_or_none(wanted | {"is_within_limit": False})
    if held is None:
        of_order = order_amount is not None or currency is not None
        if refused := state.refusal_of_hold(state.read(request), of_order=of_order):
            raise refused
        held = hold_one.one_or_none(wanted | {"is_within_limit": True})
    if held is None:
        this = {name: request[name] for name in ("key", "email")}
        raise TooManyHolds if crowded.all(this) else LostRace
    return held


def release(hold_id: uuid.UUID) -> None:
    """End a hold; do nothing if it is over or unknown."""
    db.session.execute(release_one, {"hold_id": str(hold_id)})


def release_all(customer_id: int) -> None:
    """End all holds of a customer."""
    theirs = {"customer": customer_id}
    # One by one and sorted, because two requests that lock the same vouchers in different orders
    # can deadlock.
    for key in db.session.scalars(_held_by, theirs).all():
        db.session.execute(_release_those_of, {**theirs, "key": key})


_has_room = f"""(vouchers.holds IS NULL OR (
            SELECT count(*) FROM {rules.holds_of_others}
        ) < {most_holds})"""

# The open holds of others, and the customer's own (extended) or a new one.
hold_one = Statement(
    "hold",
    Hold,
    f"""
    UPDATE vouchers SET holds = (
        SELECT jsonb_object_agg(id, terms) FROM (
            SELECT id, terms FROM {rules.holds_of_others}
            UNION ALL
            SELECT id,
                jsonb_build_object('customer', customers.id, 'until', greatest(until, wanted))
            FROM (SELECT extract(epoch FROM now()) + :ttl) AS this (wanted), (
                SELECT id, (terms->>'until')::numeric FROM {rules.own_hold}
                UNION ALL SELECT :new_id, 0 ORDER BY 2 DESC LIMIT 1
            ) AS own (id, until)
        ) AS held
    )
    FROM customers, offers
    WHERE vouchers.code_key = :key
        AND customers.email_key = :email
        AND offers.id = vouchers.offer_id
        AND {rules.usable}
        AND {rules.met(rules.of_voucher, rules.of_holds)}
        AND {_has_room}
        AND (offers.max_redemptions_per_customer IS NULL OR :is_within_limit)
        AND ({rules.no_order} OR {rules.met(rules.of_order)})
    RETURNING
        (SELECT id FROM {rules.own_hold}) AS hold_id,
        (SELECT to_timestamp((terms->>'until')::numeric) FROM {rules.own_hold}) AS held_until""",
    {
        "key": "text",
        "email": "text",
        "order_amount": "numeric",
        "order_currency": "text",
        "ttl": "bigint",
        "new_id": "text",
        "is_within_limit": "boolean",
    },
)
"""If the offer has a limit per customer, count the customer's redemptions before running this."""

crowded = Statement(
    "look_for_room",
    Crowded,
    f"""
    SELECT code_key FROM vouchers JOIN customers ON customers.email_key = :email
    WHERE code_key = :key AND NOT {_has_room}""",
    {"key": "text", "email": "text"},
)

_id = bindparam("hold_id", type_=Text)
_no_holds = literal_column("'{}'::jsonb", JSONB)

release_one = (
    update(Voucher.__table__)
    .where(Voucher.holds.has_key(_id))
    .values(holds=func.nullif(Voucher.holds.op("-")(_id), _no_holds))
)

_held_by = text("""
    SELECT code_key FROM vouchers
    WHERE holds @? format('$.*.customer ? (@ == %s)', CAST(:customer AS bigint))::jsonpath
    ORDER BY code_key""")

_release_those_of = text("""
    UPDATE vouchers SET holds = (
        SELECT jsonb_object_agg(id, terms) FROM jsonb_each(holds) AS hold(id, terms)
        WHERE (terms->>'customer')::bigint <> :customer
    )
    WHERE code_key = :key AND holds IS NOT NULL""")
