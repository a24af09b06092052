"""The changes' tables."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.batches.models import Batch
from voucherpool.database.model import Model
from voucherpool.offers.models import Offer


class Change(Model):
    """A change of the vouchers of a batch, or of all of an offer.

    `terms` says what changes, as the request did: `{"expires_at": null, "disabled": true}`.
    `chosen` says which vouchers, and `reason` why. The `matched` ones existed when it began;
    `changed` and `skipped` (they had the terms already, or matched no longer) are behind it.
    `page` is the next of its pages. A `dry_run` only counts. Days are days in the `timezone`.
    """

    __tablename__ = "changes"
    __table_args__ = (
        CheckConstraint("chosen IN ('all', 'unused', 'unclaimed')", name="chosen"),
        CheckConstraint(
            "state IN ('pending', 'running', 'done', 'failed', 'cancelled')", name="state"
        ),
        CheckConstraint(
            "changed >= 0 AND skipped >= 0 AND changed + skipped <= matched", name="counts"
        ),
        CheckConstraint("state <> 'done' OR changed + skipped = matched", name="done"),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed"),
        CheckConstraint(
            "(state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_at",
        ),
        Index("changes_offer_id_id_idx", "offer_id", "id"),
        # For the worker: unfinished changes, those with the fewest changed pages first.
        Index("changes_unfinished_idx", "page", "id", postgresql_where=text("finished_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    offer_id: Mapped[int] = mapped_column(ForeignKey(Offer.id, ondelete="CASCADE"))
    batch_id: Mapped[int | None] = mapped_column(ForeignKey(Batch.id, ondelete="CASCADE"))
    terms: Mapped[dict[str, object]] = mapped_column(JSONB)
    chosen: Mapped[str]
    reason: Mapped[str | None]
    dry_run: Mapped[bool]
    timezone: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="pending")
    matched: Mapped[int | None]
    changed: Mapped[int] = mapped_column(server_default="0")
    skipped: Mapped[int] = mapped_column(server_default="0")
    page: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ChangeVouchers(Model):
    """The codes of a change's vouchers that are still ahead of it, in normal form.

    `page` counts from 0.
    """

    __tablename__ = "change_vouchers"

    change_id: Mapped[int] = mapped_column(
        ForeignKey(Change.id, ondelete="CASCADE"), primary_key=True
    )
    page: Mapped[int] = mapped_column(primary_key=True)
    code_keys: Mapped[list[str]] = mapped_column(ARRAY(Text))
