"""Records what happened, in the transaction that causes it, if somebody listens for it."""

import uuid
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Index,
    Insert,
    SQLColumnExpression,
    Text,
    Uuid,
    and_,
    bindparam,
    false,
    func,
    insert,
    literal,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import AnySelect, Model, db
from voucherpool.database.statements import Statement
from voucherpool.offers.models import Offer
from voucherpool.vouchers import event_types, listeners
from voucherpool.vouchers.models import Redemption, Voucher

no_code = ""
"""The code of events that are about no single voucher."""


class Event(Model):
    """An event of a voucher, until the worker has numbered it.

    `data` is the voucher's state at that moment, with ids and no e-mail. An `announced`
    event also causes an e-mail to the customer.
    """

    __tablename__ = "events"
    __table_args__ = (Index("events_created_at_idx", "created_at"),)

    code_key: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    type: Mapped[str]
    customer_id: Mapped[int | None]
    announced: Mapped[bool] = mapped_column(server_default=text("false"))
    data: Mapped[dict[str, object]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


def record(type_: str, code_key: str, *, announced: bool = False) -> None:
    """Record an event of a voucher with the open transaction's commit, if somebody listens.

    An `announced` event also causes an e-mail to the customer, so it is always recorded.
    """
    if announced or listeners.hear(type_):
        this = {"type": type_, "key": code_key, "announced": announced}
        record_one.run_with_commit(this)


def record_redemption(type_: str, code_key: str, redemption_id: str | uuid.UUID) -> None:
    """Record an event of a redemption with the open transaction's commit, if somebody listens."""
    if listeners.hear(type_):
        this = {"type": type_, "key": code_key, "redemption": redemption_id}
        record_of_redemption.run_with_commit(this)


def record_announced(code_keys: Collection[str]) -> None:
    """Record that vouchers were issued, one event for each; their customers get an e-mail."""
    db.session.execute(record_issued, {"keys": ",".join(code_keys)})


def record_expiring(code_keys: Collection[str], days_before: int) -> None:
    """Record that vouchers expire in so many days, if somebody listens."""
    if listeners.hear(event_types.expiring):
        these = {"keys": ",".join(code_keys), "days": days_before}
        db.session.execute(record_reminders, these)


def record_fact(type_: str, data: dict[str, object]) -> None:
    """Record an event about no single voucher, if somebody listens."""
    if listeners.hear(type_):
        # Later than the events of the same transaction, which other machines may have dated.
        fact = insert(Event.__table__).values(code_key=no_code, type=type_, data=data)
        db.session.execute(fact.values(created_at=func.clock_timestamp()))


def _utc(moment: SQLColumnExpression[datetime | None]) -> ColumnElement[str]:
    """Return a moment as RFC 3339 writes it; PostgreSQL's JSON has the session's time zone."""
    return func.to_char(func.timezone("UTC", moment), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')


_voucher = func.jsonb_build_object(
    *("code", Voucher.code),
    *("customer_id", Voucher.customer_id),
    *("offer_id", Voucher.offer_id),
    *("offer_name", Offer.name),
    *("discount", func.coalesce(Voucher.frozen_discount, Offer.discount)),
    *("discount_type", Offer.discount_type),
    *("currency", Offer.currency),
    *("expires_at", _utc(Voucher.expires_at)),
    *("max_redemptions", Voucher.max_redemptions),
    *("redemption_count", Voucher.redemption_count),
    *("disabled_at", _utc(Voucher.disabled_at)),
    *("batch_id", Voucher.batch_id),
)

_redemption = func.jsonb_build_object(
    *("id", Redemption.id),
    *("customer_id", Redemption.customer_id),
    *("order_ref", Redemption.order_ref),
    *("order_amount", Redemption.order_amount),
    *("currency", Redemption.currency),
    *("discount", Redemption.discount),
    *("discount_amount", Redemption.discount_amount),
    *("redeemed_at", _utc(Redemption.redeemed_at)),
    *("reversed_at", _utc(Redemption.reversed_at)),
)

_key, _keys = bindparam("key", type_=Text), bindparam("keys", type_=Text)
_type, _announced = bindparam("type", type_=Text), bindparam("announced", type_=Boolean)
# PostgreSQL reads one text faster than a large array; no code has a comma.
_is_listed = Voucher.code_key == func.any(func.string_to_array(_keys, ","))


def _happened(
    type_: ColumnElement[str],
    customer_id: SQLColumnExpression[int | None],
    announced: ColumnElement[bool],
    **more: ColumnElement[object],
) -> AnySelect:
    """Build the query of the events' rows, in the order of their columns."""
    facts = (part for name, value in more.items() for part in (name, value))
    data = func.jsonb_build_object("voucher", _voucher, *facts)
    return select(Voucher.code_key, type_, customer_id, announced, data).join(
        Offer, Offer.id == Voucher.offer_id
    )


def _insert(happened: AnySelect) -> Insert:
    columns = ["code_key", "type", "customer_id", "announced", "data"]
    return insert(Event.__table__).from_select(columns, happened)


record_one = Statement(
    "record_event",
    tuple,
    _insert(_happened(_type, Voucher.customer_id, _announced).where(Voucher.code_key == _key)),
)

record_of_redemption = Statement(
    "record_event_of_redemption",
    tuple,
    _insert(
        _happened(_type, Redemption.customer_id, false(), redemption=_redemption)
        .join(
            Redemption,
            and_(Redemption.code_key == _key, Redemption.id == bindparam("redemption", type_=Uuid)),
        )
        .where(Voucher.code_key == _key)
    ),
)

record_issued = _insert(
    _happened(literal(event_types.issued), Voucher.customer_id, true()).where(_is_listed)
)

record_reminders = _insert(
    _happened(
        literal(event_types.expiring),
        Voucher.customer_id,
        false(),
        days_before=bindparam("days", type_=BigInteger),
    ).where(_is_listed)
)
