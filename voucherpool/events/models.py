"""The tables of events, and of those who are told: webhooks with deliveries, and messages."""

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import Customer
from voucherpool.database.model import Model

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


class NumberedEvent(Model):
    """A committed event; readers see a number only after all smaller ones.

    `data` is what happened, with ids and no e-mail.
    """

    __tablename__ = "numbered_events"
    __table_args__ = (Index("numbered_events_numbered_at_idx", "numbered_at"),)

    number: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    id: Mapped[uuid.UUID] = mapped_column(unique=True)
    type: Mapped[str]
    customer_id: Mapped[int | None]
    data: Mapped[dict[str, object]] = mapped_column(JSONB)
    created_at: Mapped[datetime]
    numbered_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Webhook(Model):
    """An endpoint that gets the events of some types.

    `secret` and `previous_secret` are encrypted; the previous one also signs until
    `previous_until`. All deliveries have failed since `failing_since`, or none.

    After it was switched off, the worker parks what waits up to the event number `parks_through`,
    then sets it to NULL; until then nothing is sent. Only the worker sees it after `deleted_at`,
    and deletes its deliveries before it deletes it.
    """

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint("cardinality(event_types) > 0", name="event_types"),
        CheckConstraint(
            "(previous_secret IS NULL) = (previous_until IS NULL)", name="previous_secret"
        ),
        CheckConstraint("(disabled_at IS NULL) = (disabled_reason IS NULL)", name="disabled_at"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    url: Mapped[str]
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret: Mapped[bytes]
    previous_secret: Mapped[bytes | None]
    previous_until: Mapped[datetime | None]
    active_from: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    failing_since: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None]
    parks_through: Mapped[int | None]
    deleted_at: Mapped[datetime | None]


class Delivery(Model):
    """An event on its way to a webhook; a row is also the log of its last attempt.

    Taking a delivery moves `due_at` ahead, so that no other worker takes it meanwhile. `status` is
    the HTTP status of the last attempt, `error` says why it had none.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'delivered', 'parked', 'cancelled')", name="state"),
        CheckConstraint("(state = 'waiting') = (finished_at IS NULL)", name="finished_at"),
        CheckConstraint("attempts >= 0", name="attempts"),
        Index(
            "deliveries_due_idx",
            "webhook_id",
            "due_at",
            postgresql_where=text("state = 'waiting'"),
        ),
    )

    webhook_id: Mapped[int] = mapped_column(
        ForeignKey(Webhook.id, ondelete="CASCADE"), primary_key=True
    )
    event_number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(server_default="waiting")
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempted_at: Mapped[datetime | None]
    status: Mapped[int | None]
    error: Mapped[str | None]
    finished_at: Mapped[datetime | None]


class Message(Model):
    """An e-mail to a customer: `issued` for a batch or one voucher, or `expiring`.

    The id names it in its Message-ID. Taking a message moves `due_at` ahead, so that no other
    worker takes it meanwhile.
    """

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("kind IN ('issued', 'expiring')", name="kind"),
        CheckConstraint("state IN ('waiting', 'sent', 'parked', 'skipped')", name="state"),
        CheckConstraint("(state = 'waiting') = (finished_at IS NULL)", name="finished_at"),
        CheckConstraint("attempts >= 0", name="attempts"),
        Index(
            "messages_batch_id_customer_id_key",
            "batch_id",
            "customer_id",
            unique=True,
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        Index(
            "messages_code_key_key",
            "code_key",
            unique=True,
            postgresql_where=text("code_key IS NOT NULL"),
        ),
        # Until a customer's reminder is sent, further vouchers join it.
        Index(
            "messages_expiring_key",
            "customer_id",
            unique=True,
            postgresql_where=text("kind = 'expiring' AND state = 'waiting' AND attempts = 0"),
        ),
        Index("messages_due_idx", "due_at", postgresql_where=text("state = 'waiting'")),
        Index("messages_customer_id_idx", "customer_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    kind: Mapped[str]
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    batch_id: Mapped[int | None]
    code_key: Mapped[str | None]
    state: Mapped[str] = mapped_column(server_default="waiting")
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
