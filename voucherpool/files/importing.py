"""Imports the vouchers of a file: all of them, or none."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Executable,
    MetaData,
    Numeric,
    Table,
    Text,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    true,
    union,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from voucherpool.audit import service as audit
from voucherpool.customers.models import Customer
from voucherpool.database.model import AnySelect, db
from voucherpool.database.retries import racing_for
from voucherpool.database.transactions import after_commit, expect_many_rows, require_future
from voucherpool.files import cells, parsing, reading
from voucherpool.files.cells import Readers
from voucherpool.files.parsing import Parsed, Progress, ignore
from voucherpool.files.reading import Refusals
from voucherpool.input.errors import InvalidInput
from voucherpool.observability import metrics
from voucherpool.offers import counts
from voucherpool.offers import service as offers
from voucherpool.vouchers import budgets
from voucherpool.vouchers.archived import archived_vouchers
from voucherpool.vouchers.models import Voucher

most_redemptions = 1_000_000
"""The uses in a file that were taken before; each becomes a row of the ledger."""


def readers(offer_id: int, timezone: str) -> Readers:
    """Return the readers of a file's cells; a day in it ends in the `timezone`.

    Raises OfferNotFound.
    """
    offer = offers.read(offer_id)
    is_amount = offer.discount_type == "fixed_amount"
    return cells.readers(offer.currency_decimals if is_amount else None, timezone)


class Imported(NamedTuple):
    """What became of a file's lines; `skipped_lines` are the first of those that were skipped."""

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
    incoming.create(db.session.connection(), checkfirst=False)
    for page in file.pages(progress):
        db.session.execute(fill, {**page, "default": expires_at})
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
        issued: Any = db.session.execute(issue, {"offer_id": offer_id})
    done = Imported(issued.rowcount, len(skipped), skipped[: reading.most_named], created)
    audit.record("offer.vouchers_imported", offer_id, after=done._asdict())
    counts.count_issued(offer_id, done.imported)
    _enter_redemptions(offer_id)
    after_commit(lambda: metrics.issued.inc(done.imported))
    return done


def _skip_known() -> Sequence[int]:
    """Take the rows out whose codes exist, and return their lines."""
    lines = db.session.scalars(known).all()
    db.session.execute(skip, {"lines": lines})
    return lines


def _create_customers() -> int:
    """Make the unknown e-mails customers, and return how many."""
    created = db.session.execute(create_unknown).all()
    db.session.execute(name_created)
    return len(created)


def _enter_redemptions(offer_id: int) -> None:
    """Enter the uses that were taken before, so that the ledger explains each voucher's count."""
    entered: Any = db.session.execute(enter, {"offer_id": offer_id})
    if entered.rowcount:
        budgets.add(offer_id, entered.rowcount, None, None)


def _refuse(refusals: Refusals) -> None:
    """Raise InvalidInput if any line is wrong, alone, with other lines or with the database."""
    found = db.session.execute(wrong).all()
    if found:
        refusals.add_all({line: reasons for line, reasons, _ in found}, found[0].total)
    if refusals.count:
        raise InvalidInput(refusals.by_line())
    if db.session.execute(count_redemptions).scalar_one() > most_redemptions:
        reason = f"Must have at most {most_redemptions} redemptions in all: split it."
        raise InvalidInput({"file": [reason]})


_types: dict[str, TypeEngine[Any]] = {
    "line": BigInteger(),
    "expires_at": DateTime(timezone=True),
    "max_redemptions": BigInteger(),
    "frozen_discount": Numeric(),
    "disabled_at": DateTime(timezone=True),
    "redemption_count": BigInteger(),
}
listed = {name: _types.get(name, Text()) for name in parsing.columns}

# The good rows, dropped at the end of the transaction.
incoming = Table(
    "incoming",
    MetaData(),
    *(Column(name, type_) for name, type_ in listed.items()),
    Column("customer_id", BigInteger),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)


def _fill_statement() -> Executable:
    lists = (
        cast(func.string_to_array(bindparam(name, type_=Text), ",", ""), ARRAY(type_))
        for name, type_ in listed.items()
    )
    row = func.unnest(*lists).table_valued(*listed).render_derived()
    defaults = {
        "expires_at": func.coalesce(row.c.expires_at, bindparam("default")),
        "max_redemptions": func.coalesce(row.c.max_redemptions, 1),
        "redemption_count": func.coalesce(row.c.redemption_count, 0),
    }
    values = {name: defaults.get(name, row.c[name]) for name in listed}
    # Look each customer up only once, so that the result cannot change meanwhile.
    with_people = (
        select(*values.values(), Customer.id)
        .select_from(row)
        .outerjoin(Customer, Customer.email_key == row.c.email_key)
    )
    return insert(incoming).from_select([*values, "customer_id"], with_people)


def _twins() -> AnySelect:
    first = func.min(incoming.c.line).over(partition_by=incoming.c.code_key)
    lines = select(incoming.c.line, first.label("first")).subquery().c
    reason = literal("code: The same code as in line ") + cast(lines.first, Text) + "."
    return select(lines.line, reason).where(lines.line > lines.first)


def _where(condition: ColumnElement[bool], reason: str) -> AnySelect:
    return select(incoming.c.line, literal(reason)).where(condition)


def _issue_statement() -> Executable:
    columns = (
        *("code_key", "code", "customer_id", "expires_at"),
        *("max_redemptions", "redemption_count", "frozen_discount", "disabled_at"),
    )
    offer_id = bindparam("offer_id", type_=BigInteger)
    uses = incoming.c.redemption_count
    used_at = case((uses == incoming.c.max_redemptions, func.now()))
    was_redeemed = case((uses > 0, true()))
    rows = select(*(incoming.c[name] for name in columns), offer_id, true(), used_at, was_redeemed)
    named = [*columns, "offer_id", "is_chosen", "used_at", "was_redeemed"]
    return insert(Voucher.__table__).from_select(named, rows.order_by(incoming.c.line))


def _wrong_statement() -> Executable:
    """Build the query of the first wrong lines with their reasons, and the number of all of them.

    In its one snapshot a voucher is either hot or archived.
    """
    row, exists = incoming.c, "code: A voucher with this code exists."
    nobody = row.email_key.is_not(None) & row.customer_id.is_(None)
    reasons = union_all(
        _twins(),
        _where(Voucher.code_key == row.code_key, exists),
        _where(archived_vouchers.c.code_key == row.code_key, exists),
        _where(nobody, "email: No customer has this e-mail."),
        _where(row.expires_at.is_(None), "expires_at: Must be given, here or for all lines."),
        _where(row.expires_at <= func.now(), "expires_at: Must be in the future."),
        _where(row.disabled_at > func.now(), "disabled_at: Must not be in the future."),
        _where(
            row.redemption_count > row.max_redemptions,
            "redemption_count: Must not be above max_redemptions.",
        ),
    )
    line, reason = reasons.subquery().c
    return (
        select(line, func.array_agg(reason), func.count().over().label("total"))
        .group_by(line)
        .order_by(line)
        .limit(reading.most_named)
    )


fill, wrong, issue = _fill_statement(), _wrong_statement(), _issue_statement()

_row = incoming.c
known = union(
    select(_row.line).where(Voucher.code_key == _row.code_key),
    select(_row.line).where(archived_vouchers.c.code_key == _row.code_key),
).order_by("line")
skip = delete(incoming).where(_row.line == any_(bindparam("lines", type_=ARRAY(BigInteger))))

# Sorted, because two files that create the same customers in different orders can deadlock.
create_unknown = text("""
    INSERT INTO customers (email, email_key)
    SELECT DISTINCT ON (email_key) email, email_key FROM incoming
    WHERE email_key IS NOT NULL AND customer_id IS NULL ORDER BY email_key, line
    ON CONFLICT (email_key) DO NOTHING RETURNING id""")
name_created = text("""
    UPDATE incoming SET customer_id = customers.id FROM customers
    WHERE customers.email_key = incoming.email_key AND incoming.customer_id IS NULL""")

count_redemptions = select(func.coalesce(func.sum(_row.redemption_count), 0))
enter = text("""
    INSERT INTO redemptions (
        code_key, customer_id, offer_id, discount, discount_type, currency, kind
    )
    SELECT code_key, customer_id, offers.id, coalesce(frozen_discount, discount), discount_type,
        currency, 'imported'
    FROM incoming JOIN offers ON offers.id = :offer_id, generate_series(1, redemption_count)""")
