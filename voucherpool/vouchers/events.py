"""Records what happened, in the transaction that causes it, if somebody listens for it.

Each process remembers for a second which types webhooks listen for. No event is missed by that: a
webhook is active `activation_seconds` after it was made, which is as long as the memory may be old,
a statement may take and a transaction may pause before its commit, together.
"""

import time
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Engine,
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
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import AnySelect, Model, db
from voucherpool.database.statements import Statement
from voucherpool.offers.models import Offer
from voucherpool.vouchers import event_types
from voucherpool.vouchers.models import Redemption, Voucher

no_code = ""
"""The code of events that are about no single voucher."""

activation_seconds = 10  # memory 2, statement 3, pause in a transaction 5
renewed_after_seconds = 1.0
long_ago = datetime(1970, 1, 1, tzinfo=UTC)


class Event(Model):
    """What happened to a voucher, until the worker has numbered it.

    `data` is the voucher's state at that moment, with ids and no e-mail. The customer of an
    `announced` one is to get an e-mail.
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


class Listeners(NamedTuple):
    """The types that webhooks listen for; nobody else does until `until`, by PostgreSQL's clock."""

    types: Collection[str]
    until: datetime


@dataclass
class Known:
    """The listeners that this process knows, and when to ask again by time.monotonic()."""

    listeners: Listeners
    renewed_from: float


_known: WeakKeyDictionary[Engine, Known] = WeakKeyDictionary()


def listeners() -> Listeners:
    """Return who listens, at most a second old."""
    now, known = time.monotonic(), _known.get(db.engine)
    if known is None or now >= known.renewed_from:
        [found] = ask_listeners.all({})
        known = _known[db.engine] = Known(found, now + renewed_after_seconds)
    return known.listeners


def forget_listeners() -> None:
    """Ask again at the next event."""
    _known.clear()


def are_heard(type_: str) -> bool:
    """Tell whether somebody listens for the type."""
    return type_ in listeners().types


def unheard_until(type_: str) -> datetime:
    """Return until when nobody listens for the type; it is long ago if somebody does."""
    known = listeners()
    return long_ago if type_ in known.types else known.until


def record(type_: str, code_key: str, *, announced: bool = False) -> None:
    """Record an event of a voucher with the open transaction's commit, if somebody listens.

    The customer of an `announced` one gets an e-mail, so that it is always recorded.
    """
    if announced or are_heard(type_):
        this = {"type": type_, "key": code_key, "announced": announced}
        record_one.run_with_commit(this)


def record_redemption(type_: str, code_key: str, redemption_id: uuid.UUID) -> None:
    """Record an event of a redemption with the open transaction's commit, if somebody listens."""
    if are_heard(type_):
        this = {"type": type_, "key": code_key, "redemption": redemption_id}
        record_of_redemption.run_with_commit(this)


def record_announced(code_keys: Collection[str]) -> None:
    """Record that vouchers were issued, one event for each; their customers get an e-mail."""
    db.session.execute(record_issued, {"keys": ",".join(code_keys)})


def record_expiring(code_keys: Collection[str], days_before: int) -> None:
    """Record that vouchers expire in so many days, if somebody listens."""
    if are_heard(event_types.expiring):
        these = {"keys": ",".join(code_keys), "days": days_before}
        db.session.execute(record_reminders, these)


def record_fact(type_: str, data: dict[str, object]) -> None:
    """Record an event about no single voucher, if somebody listens."""
    if are_heard(type_):
        db.session.execute(insert(Event.__table__).values(code_key=no_code, type=type_, data=data))


def _utc(moment: SQLColumnExpression[Any]) -> ColumnElement[str]:
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
    customer_id: SQLColumnExpression[Any],
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

_listened_for = (
    select(func.array_agg(literal_column("DISTINCT type", Text)))
    .select_from(text("webhooks, unnest(event_types) AS type"))
    .where(text("disabled_at IS NULL"))
    .scalar_subquery()
)

ask_listeners = Statement(
    "listeners",
    Listeners,
    select(
        func.coalesce(_listened_for, literal_column("'{}'::text[]", ARRAY(Text))).label("types"),
        (func.statement_timestamp() + literal_column("interval '2 seconds'")).label("until"),
    ),
)
"""Names the table, because its model, in the room of notifications, stands on this one."""
