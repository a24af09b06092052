"""Imports the vouchers of a file: all of them, or none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    text,
)

from voucherpool.audit import service as audit
from voucherpool.database.model import db
from voucherpool.database.retries import racing_for
from voucherpool.database.transactions import after_commit, expect_many_rows, require_future
from voucherpool.files import cells, incoming, reading
from voucherpool.files.cells import Readers
from voucherpool.files.parsing import Parsed, Progress, ignore
from voucherpool.files.reading import Refusals
from voucherpool.input.errors import InvalidInput
from voucherpool.observability import metrics
from voucherpool.offers import counts
from voucherpool.offers import service as offers
from voucherpool.vouchers.eligibility import budgets

most_redemptions = 1_000_000
"""The earlier redemptions in a file; each becomes a row of the ledger."""


def readers(offer_id: int, timezone: str) -> Readers:
    """Return the readers of a file's cells; a day in it ends in the `timezone`.

    Raises OfferNotFound.
    """
    offer = offers.read(offer_id)
    is_amount = offer.discount_type == "fixed_amount"
    return cells.readers(offer.currency_decimals if is_amount else None, timezone)


class Imported(NamedTuple):
    """The outcome of a file; `skipped_lines` are the first of the lines that were skipped."""

    imported: int
    skipped: int
    skipped_lines: Sequence[int]
    customers_created: int


def load(
    file: Parsed,
    offer_id: int,
    expires_at: datetime | None = None,
    *,
    on_conflict: str = "refuse",
    create_customers: bool = False,
) -> Imported:
    """Issue all vouchers of a file under an offer, or none.

    `expires_at` is for lines without one. With `on_conflict` "skip" the vouchers that exist are
    left as they are. Unknown e-mails are refused unless they are to become customers.

    Raises InvalidInput with the wrong lines, and LostRace.
    """
    copy(file, expires_at)
    return issue_all(file, offer_id, on_conflict=on_conflict, create_customers=create_customers)


def copy(file: Parsed, expires_at: datetime | None = None, progress: Progress = ignore) -> None:
    """Copy the rows of a file to PostgreSQL; issue_all() comes next, in the same transaction.

    It passes the bytes of each page to `progress`. Raises InvalidInput for an `expires_at` that is
    over.
    """
    expect_many_rows()
    if expires_at:
        require_future(expires_at)
    incoming.rows.create(db.session.connection(), checkfirst=False)
    for page in file.pages(progress):
        db.session.execute(incoming.fill, {**page, "default": expires_at})
    db.session.execute(text("ANALYZE incoming"))


def issue_all(
    file: Parsed,
    offer_id: int,
    *,
    on_conflict: str = "refuse",
    create_customers: bool = False,
) -> Imported:
    """Issue the copied vouchers under an offer, as load() does.

    Raises InvalidInput with the wrong lines, and LostRace.
    """
    skipped = _skip_known() if on_conflict == "skip" else []
    created = _create_customers() if create_customers else 0
    _refuse(file.refusals)
    with racing_for("vouchers_pkey"):
        issued: Any = db.session.execute(incoming.issue, {"offer_id": offer_id})
    done = Imported(issued.rowcount, len(skipped), skipped[: reading.most_named], created)
    audit.record("offer.vouchers_imported", offer_id, after=done._asdict())
    counts.count_issued(offer_id, done.imported)
    _enter_redemptions(offer_id)
    after_commit(lambda: metrics.issued.inc(done.imported))
    return done


def _skip_known() -> Sequence[int]:
    """Remove the rows with a code that exists, and return their lines."""
    lines = db.session.scalars(incoming.known).all()
    db.session.execute(incoming.skip, {"lines": lines})
    return lines


def _create_customers() -> int:
    """Make the unknown e-mails customers, and return how many."""
    created = db.session.execute(incoming.create_unknown).all()
    db.session.execute(incoming.name_created)
    return len(created)


def _enter_redemptions(offer_id: int) -> None:
    """Enter earlier redemptions, so that the ledger explains each voucher's count."""
    entered: Any = db.session.execute(incoming.enter, {"offer_id": offer_id})
    if entered.rowcount:
        budgets.add(offer_id, entered.rowcount, None, None)


def _refuse(refusals: Refusals) -> None:
    """Raise InvalidInput if any line is wrong, alone, with other lines or with the database."""
    found = db.session.execute(incoming.wrong).all()
    if found:
        refusals.add_all({line: reasons for line, reasons, _ in found}, found[0].total)
    if refusals.count:
        raise InvalidInput(refusals.by_line())
    if db.session.execute(incoming.count_redemptions).scalar_one() > most_redemptions:
        reason = f"Must have at most {most_redemptions} redemptions in all: split it."
        raise InvalidInput({"file": [reason]})
