"""The schedules' tables."""

from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.batches.models import Batch
from voucherpool.database.model import Model
from voucherpool.offers.models import Offer


class Schedule(Model):
    """A recurring issue: each occurrence of `cron` in `timezone` makes a batch.

    `audience` is the offer's pool, all customers, or those of `customer_ids`; `count` is the number
    of vouchers for the pool or for each customer. A `discount` is frozen into the vouchers. An
    occurrence that was missed happens if it is younger than `catch_up`. `next_at` is the next
    occurrence, NULL if there is none.
    """

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name"),
        CheckConstraint("audience IN ('pool', 'all_customers', 'customers')", name="audience"),
        CheckConstraint("count > 0", name="count"),
        CheckConstraint("valid_for > interval '0'", name="valid_for"),
        CheckConstraint("catch_up >= interval '0'", name="catch_up"),
        CheckConstraint("discount > 0", name="discount"),
        Index("schedules_next_at_idx", "next_at", postgresql_where=text("NOT paused")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id))
    cron: Mapped[str]
    timezone: Mapped[str]
    audience: Mapped[str]
    customer_ids: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    count: Mapped[int]
    valid_for: Mapped[timedelta]
    discount: Mapped[Decimal | None]
    notify: Mapped[bool]
    paused: Mapped[bool]
    catch_up: Mapped[timedelta]
    next_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ScheduleRun(Model):
    """The result of one occurrence of a schedule: a batch, or the reason why there is none."""

    __tablename__ = "schedule_runs"
    __table_args__ = (
        CheckConstraint("state IN ('done', 'skipped', 'failed')", name="state"),
        CheckConstraint("(state = 'done') = (batch_id IS NOT NULL)", name="batch_id"),
    )

    schedule_id: Mapped[int] = mapped_column(
        ForeignKey(Schedule.id, ondelete="CASCADE"), primary_key=True
    )
    occurrence: Mapped[datetime] = mapped_column(primary_key=True)
    state: Mapped[str]
    batch_id: Mapped[int | None] = mapped_column(ForeignKey(Batch.id, ondelete="CASCADE"))
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
