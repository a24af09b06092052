"""The batches' tables."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.batches.schemas import most_vouchers
from voucherpool.database import domains
from voucherpool.database.model import Model
from voucherpool.offers.models import Offer


class Batch(Model):
    """Vouchers to issue in bulk.

    `created` of the `requested` vouchers exist. Each # of `pattern` becomes a random character.
    `per_customer` is the number of vouchers for each customer, NULL for the offer's pool.
    `valid_for` is how long a voucher is valid from its claim on (ISO 8601: P30D).
    Each voucher of an `announced` batch has an event, and its customer gets an e-mail.
    """

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint(f"requested BETWEEN 1 AND {most_vouchers}", name="requested"),
        CheckConstraint("created BETWEEN 0 AND requested", name="created"),
        CheckConstraint("max_redemptions > 0", name="max_redemptions"),
        CheckConstraint("pattern ~ '^[#0-9A-Za-z -]{10,80}$'", name="pattern"),
        CheckConstraint("frozen_discount > 0", name="frozen_discount"),
        CheckConstraint("CAST(valid_for AS interval) > interval '0'", name="valid_for"),
        CheckConstraint("per_customer > 0", name="per_customer"),
        CheckConstraint(
            "state IN ('pending', 'running', 'done', 'failed', 'cancelled')", name="state"
        ),
        CheckConstraint("(state = 'done') = (created = requested)", name="done"),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed"),
        CheckConstraint(
            "(state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_at",
        ),
        Index("batches_offer_id_id_idx", "offer_id", "id"),
        # For the worker: unfinished batches, fewest created vouchers first.
        Index(
            "batches_unfinished_idx", "created", "id", postgresql_where=text("finished_at IS NULL")
        ),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id, ondelete="CASCADE"))
    requested: Mapped[int]
    created: Mapped[int] = mapped_column(server_default="0")
    expires_at: Mapped[datetime | None] = mapped_column(domains.moment_or_never, nullable=False)
    max_redemptions: Mapped[int]
    pattern: Mapped[str]
    frozen_discount: Mapped[Decimal | None]
    valid_for: Mapped[str | None]
    per_customer: Mapped[int | None]
    announced: Mapped[bool] = mapped_column(server_default=text("false"))
    metadata_: Mapped[dict[str, str] | None] = mapped_column(
        "metadata", JSONB(none_as_null=True), key="metadata_"
    )
    state: Mapped[str] = mapped_column(server_default="pending")
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class BatchCustomers(Model):
    """The ids of a batch's customers, chosen when it was requested.

    `page` counts from 0; every page but the last is full.
    """

    __tablename__ = "batch_customers"

    batch_id: Mapped[int] = mapped_column(
        ForeignKey(Batch.id, ondelete="CASCADE"), primary_key=True
    )
    page: Mapped[int] = mapped_column(primary_key=True)
    customer_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
