"""Deletes batches and offers that nobody ever used."""

from psycopg2.errors import ForeignKeyViolation
from sqlalchemy import delete, text
from sqlalchemy.exc import IntegrityError

from voucherpool.audit import service as audit
from voucherpool.batches.errors import BatchNotFound
from voucherpool.batches.models import Batch
from voucherpool.changes.service import BatchUnfinished
from voucherpool.database.model import db
from voucherpool.database.transactions import expect_many_rows
from voucherpool.errors import Conflict
from voucherpool.offers.errors import OfferNotFound
from voucherpool.offers.models import Offer
from voucherpool.vouchers.models import open_holds


class BatchInUse(Conflict):
    detail = "A voucher of this batch was redeemed, is held or is archived: disable the others."


class OfferInUse(Conflict):
    detail = (
        "A voucher of this offer was redeemed, is held or is archived, or a schedule needs the"
        " offer: end the offer instead, or delete the schedule first."
    )


def delete_batch(batch_id: int) -> None:
    """Delete a batch and its vouchers.

    Raises BatchNotFound, BatchUnfinished, and BatchInUse if a voucher was ever redeemed or is held.
    """
    batch = db.session.get(Batch, batch_id, with_for_update=True)
    if batch is None:
        raise BatchNotFound
    if batch.finished_at is None:
        raise BatchUnfinished
    shown = {"offer_id": batch.offer_id, "created": batch.created}
    if _delete_vouchers("batch_id", batch_id) < batch.created:
        raise BatchInUse
    db.session.execute(delete(Batch).where(Batch.id == batch_id))
    audit.record("batch.deleted", batch_id, before=shown)


def delete_offer(offer_id: int) -> None:
    """Delete an offer, its batches and its vouchers.

    Raises OfferNotFound, and OfferInUse if a voucher was ever redeemed or is held, or if a schedule
    issues the offer's vouchers.
    """
    # From now on nobody can issue a voucher of the offer.
    offer = db.session.get(Offer, offer_id, with_for_update=True)
    if offer is None:
        raise OfferNotFound
    shown = {"name": offer.name}
    issued = db.session.scalar(count_issued, {"id": offer_id})
    if _delete_vouchers("offer_id", offer_id) < issued:
        raise OfferInUse
    try:
        db.session.execute(delete(Offer).where(Offer.id == offer_id))
    except IntegrityError as error:
        if isinstance(error.orig, ForeignKeyViolation):
            raise OfferInUse from error
        raise
    audit.record("offer.deleted", offer_id, before=shown)


def _delete_vouchers(column: str, of: int) -> int:
    """Delete all unused vouchers of a batch or an offer, and return how many."""
    expect_many_rows()
    deleted: int = db.session.scalar(text(delete_unused.format(column=column)), {"of": of})
    return deleted


count_issued = text("SELECT coalesce(sum(issued), 0) FROM offer_counts WHERE offer_id = :id")

# Days are those of the connection's time zone, in which they were counted (offers.counts.today).
# A redemption that commits meanwhile changes the row, so that PostgreSQL checks the WHERE again.
delete_unused = f"""
    WITH gone AS (
        DELETE FROM vouchers
        WHERE {{column}} = :of AND redemption_count = 0 AND was_redeemed IS NULL
            AND NOT EXISTS (SELECT FROM {open_holds})
            AND NOT EXISTS (SELECT FROM redemptions WHERE code_key = vouchers.code_key)
        RETURNING code_key, offer_id, created_at, claimed_at
    ),
    attempts AS (
        DELETE FROM refused_attempts USING gone WHERE refused_attempts.code_key = gone.code_key
    ),
    counted AS (
        INSERT INTO offer_counts (offer_id, day, slot, issued, claimed)
        SELECT offer_id, day, 0, -sum(issued), -sum(claimed) FROM (
            SELECT offer_id, created_at::date AS day, 1 AS issued, 0 AS claimed FROM gone
            UNION ALL
            SELECT offer_id, claimed_at::date, 0, 1 FROM gone WHERE claimed_at IS NOT NULL
        ) AS lost
        GROUP BY offer_id, day
        ON CONFLICT (offer_id, day, slot) DO UPDATE SET
            issued = offer_counts.issued + excluded.issued,
            claimed = offer_counts.claimed + excluded.claimed
    )
    SELECT count(*) FROM gone"""
