"""The tables of reminders, and of customers who want no e-mails."""

import uuid
from datetime import datetime

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.customers.models import Customer
from voucherpool.database.model import Model
from voucherpool.offers.models import Offer


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

    offer_id: Mapped[int] = mapped_column(
        ForeignKey(Offer.id, ondelete="CASCADE"), primary_key=True
    )
    days_before: Mapped[int] = mapped_column(primary_key=True)
    expires_until: Mapped[datetime]
    issue_number: Mapped[int] = mapped_column(server_default="0")


class OptOut(Model):
    """A customer who wants no more e-mails."""

    __tablename__ = "opt_outs"

    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
