"""Reserves uses of vouchers during a checkout."""

import uuid
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, DateTime, bindparam, cast, func, literal_column, update
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import JSONB

from voucherpool.customers.models import Customer
from voucherpool.db import db
from voucherpool.statements import Statement
from voucherpool.vouchers import rules
from voucherpool.vouchers.examining import refuse, take_or_refuse, who
from voucherpool.vouchers.models import Voucher


class Hold(NamedTuple):
    """One use of a voucher, reserved for one customer."""

    hold_id: uuid.UUID
    held_until: datetime


def hold(code: str, email: str, ttl_seconds: int) -> Hold:
    """Reserve one use for so many seconds; a customer's open hold on the voucher is extended.

    Raises what redeeming would, but for the errors about orders.
    """
    request = {**who(code, email), "ttl": ttl_seconds}
    held = take_or_refuse(hold_one, request, lambda seen: refuse(seen, rules.conditions))
    return Hold(uuid.UUID(held.hold_id), held.held_until)


def release(hold_id: uuid.UUID) -> None:
    """End a hold; one that is over or unknown stays so."""
    db.session.execute(release_one, {"hold_id": str(hold_id)})


_own_hold = """
    FROM jsonb_each(vouchers.holds) AS hold(id, terms)
    WHERE (terms->>'until')::timestamptz > now()
    AND (terms->>'customer')::bigint = customers.id"""
_own_id = literal_column(f"(SELECT id {_own_hold})", SqlText)
_own_until = literal_column(
    f"(SELECT (terms->>'until')::timestamptz {_own_hold})",
    DateTime(timezone=True),
)
_until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, bindparam("ttl", type_=BigInteger))
_no_holds = literal_column("'{}'::jsonb", JSONB)

hold_one = Statement(
    "hold",
    update(Voucher.__table__)
    .where(*rules.guard)
    .values(
        holds=func.coalesce(rules.other_holds, _no_holds).op("||")(
            func.jsonb_build_object(
                func.coalesce(_own_id, cast(func.gen_random_uuid(), SqlText)),
                func.jsonb_build_object(
                    "customer", Customer.id, "until", func.greatest(_own_until, _until)
                ),
            )
        )
    )
    .returning(_own_id.label("hold_id"), _own_until.label("held_until")),
)

release_one = (
    update(Voucher.__table__)
    .where(Voucher.holds.has_key(bindparam("hold_id", type_=SqlText)))
    .values(
        holds=func.nullif(Voucher.holds.op("-")(bindparam("hold_id", type_=SqlText)), _no_holds)
    )
)
