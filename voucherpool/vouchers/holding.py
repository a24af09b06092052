"""Reserves uses of vouchers during a checkout."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Text,
    bindparam,
    func,
    literal_column,
    or_,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from voucherpool.database.model import db
from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.offers.models import Offer
from voucherpool.vouchers import conditions, eligibility
from voucherpool.vouchers.conditions import holds_of_others
from voucherpool.vouchers.models import Voucher, open_holds


class Hold(NamedTuple):
    """One use of a voucher, reserved for one customer."""

    hold_id: str
    held_until: datetime


def hold(
    code: str,
    email: str,
    ttl_seconds: int,
    order_amount: Decimal | None = None,
    currency: str | None = None,
) -> Hold:
    """Reserve one use for the seconds given, or extend the customer's open hold.

    With the order's amount or currency, it is refused like the order's redemption.

    Raises conditions.refusals, conditions.order_refusals, and LostRace.
    """
    of_order = order_amount is not None or currency is not None
    more = {"ttl": ttl_seconds, "new_id": str(uuid.uuid4())}
    request = eligibility.request(code, email, order_amount, currency, **more)
    held = hold_one.one_or_none(request | {"is_within_limit": False})
    if held is None:
        seen = eligibility.look(request)
        if refused := eligibility.refusal(seen, of_order=of_order):
            raise refused
        held = hold_one.one_or_none(request | {"is_within_limit": True})
    if held is None:
        raise LostRace
    return held


def release(hold_id: uuid.UUID) -> None:
    """End a hold; do nothing if it is over or unknown."""
    db.session.execute(release_one, {"hold_id": str(hold_id)})


def release_all(customer_id: int) -> None:
    """End all holds of a customer."""
    theirs = {"customer": customer_id}
    # Sorted, because two requests that lock the same vouchers in different orders can deadlock.
    for key in db.session.scalars(_held_by, theirs).all():
        db.session.execute(_release_those_of, {**theirs, "key": key})


_own = f"{open_holds} AND (terms->>'customer')::bigint = customers.id"

# The open holds of others, and the customer's own (extended) or a new one.
_held = text(f"""
    (SELECT jsonb_object_agg(id, terms) FROM (
        SELECT id, terms FROM {holds_of_others}
        UNION ALL
        SELECT id, jsonb_build_object('customer', customers.id, 'until', greatest(until, wanted))
        FROM (SELECT extract(epoch FROM now()) + :ttl) AS this (wanted), (
            SELECT id, (terms->>'until')::numeric FROM {_own}
            UNION ALL SELECT :new_id, 0 ORDER BY 2 DESC LIMIT 1
        ) AS own (id, until)
    ) AS held)""").bindparams(bindparam("ttl", type_=BigInteger), bindparam("new_id", type_=Text))

hold_one = Statement(
    "hold",
    Hold,
    update(Voucher.__table__)
    .where(
        *conditions.guard,
        conditions.unheld,
        or_(
            Offer.max_redemptions_per_customer.is_(None),
            bindparam("is_within_limit", type_=Boolean),
        ),
        or_(conditions.no_order, conditions.order_accepted),
    )
    .values(holds=_held)
    .returning(
        literal_column(f"(SELECT id FROM {_own})", Text).label("hold_id"),
        literal_column(
            f"(SELECT to_timestamp((terms->>'until')::numeric) FROM {_own})",
            DateTime(timezone=True),
        ).label("held_until"),
    ),
)
"""If the offer has a limit per customer, count the customer's redemptions before running this."""

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

# One by one, because a cluster cannot lock rows of several machines in a given order.
_release_those_of = text("""
    UPDATE vouchers SET holds = (
        SELECT jsonb_object_agg(id, terms) FROM jsonb_each(holds) AS hold(id, terms)
        WHERE (terms->>'customer')::bigint <> :customer
    )
    WHERE code_key = :key AND holds IS NOT NULL""")
