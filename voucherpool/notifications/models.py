"""The tables of events, webhooks, e-mails and reminders."""

import uuid
from datetime import datetime

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import Customer
from voucherpool.database.model import Model
from voucherpool.offers.models import Offer


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


class Replay(Model):
    """Events that a webhook gets again: those from `next_number` to `last_number` are left."""

    __tablename__ = "replays"

    webhook_id: Mapped[int] = mapped_column(
        ForeignKey(Webhook.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    next_number: Mapped[int]
    last_number: Mapped[int]


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


class Reminder(Model):
    """A voucher whose customer is reminded so many days before it expires, once.

    `message_id` is the e-mail that names it, NULL until that is sent for the first time.
    """

    __tablename__ = "reminders"
    __table_args__ = (
        Index(
            "reminders_customer_id_idx",
            "customer_id",
            postgresql_where=text("message_id IS NULL"),
        ),
        Index("reminders_message_id_idx", "message_id"),
    )

    code_key: Mapped[str] = mapped_column(primary_key=True)
    days_before: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
    expires_at: Mapped[datetime]
    message_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ReminderProgress(Model):
    """The last voucher of an offer that was looked at for reminders.

    The order is that of `vouchers.expires_at` and `vouchers.issue_number`.
    """

    __tablename__ = "reminder_progress"

    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id), primary_key=True)
    days_before: Mapped[int] = mapped_column(primary_key=True)
    expires_until: Mapped[datetime]
    issue_number: Mapped[int] = mapped_column(server_default="0")


class OptOut(Model):
    """A customer who wants no more e-mails."""

    __tablename__ = "opt_outs"

    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
