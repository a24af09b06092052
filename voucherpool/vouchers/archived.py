"""The archive's tables, and how to ask them and the hot tables at once."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from sqlalchemy import (
    ARRAY,
    CTE,
    Column,
    DateTime,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    any_,
    bindparam,
    null,
    select,
    text,
    union_all,
)
from sqlalchemy.orm import Mapped

from voucherpool.database.model import AnySelect, Model, db
from voucherpool.vouchers.models import Redemption, Voucher


def _archive_of(table: Table, *indexes: Index) -> Table:
    """Describe the archive of a table: its columns, and when the row came here.

    Partitioned by month, so that a purge drops files instead of rows. Without constraints and
    foreign keys: the rows obeyed them where they were made, and nothing changes them here.
    """
    return Table(
        f"archived_{table.name}",
        table.metadata,
        *(Column(column.name, column.type, nullable=column.nullable) for column in table.c),
        Column("archived_at", DateTime(timezone=True), nullable=False),
        *indexes,
        postgresql_partition_by="RANGE (archived_at)",
    )


archived_vouchers = _archive_of(
    Voucher.__table__, Index("archived_vouchers_code_key_idx", "code_key")
)

archived_redemptions = _archive_of(
    Redemption.__table__,
    Index("archived_redemptions_code_key_idx", "code_key"),
    Index("archived_redemptions_id_idx", "id"),
    Index(
        "archived_redemptions_customer_id_redeemed_at_id_idx", "customer_id", "redeemed_at", "id"
    ),
    Index(
        "archived_redemptions_order_ref_idx",
        "order_ref",
        postgresql_where=text("order_ref IS NOT NULL"),
    ),
)


class ArchivedTotals(Model):
    """What happened on a day in UTC to an offer's vouchers that were archived; a purge keeps it.

    Counted on the day on which it happened: `discounted` and `given_back` in the currency, '' for
    none, `used_up` and `expired` (unused) vouchers under ''.
    """

    __tablename__ = "archived_totals"
    __table_args__ = (PrimaryKeyConstraint("offer_id", "day", "currency"),)

    offer_id: Mapped[int]
    day: Mapped[date]
    currency: Mapped[str]
    redeemed: Mapped[int]
    discounted: Mapped[Decimal]
    reversed: Mapped[int]
    given_back: Mapped[Decimal]
    used_up: Mapped[int]
    expired: Mapped[int]


class CustomerTotals(Model):
    """How many live redemptions of an offer a customer has in the archive; a purge keeps it.

    They count for the limit per customer.
    """

    __tablename__ = "customer_totals"
    __table_args__ = (PrimaryKeyConstraint("customer_id", "offer_id"),)

    customer_id: Mapped[int]
    offer_id: Mapped[int]
    redemption_count: Mapped[int]


def including_archive(statement: AnySelect) -> AnySelect:
    """Return the statement about vouchers and redemptions, asked of the archive as well.

    A CTE of a table's name hides the table
    (https://www.postgresql.org/docs/current/sql-select.html, "WITH Clause"), so the statement
    itself stays as it is. One statement sees one moment, at which a voucher is in one place.
    """
    return statement.add_cte(*_whole)


def _both(table: Table, archive: Table) -> CTE:
    hot = select(*table.columns, null().label("archived_at"))
    # Not materialized, so that the statement's conditions reach the indexes of both.
    return union_all(hot, select(*archive.columns)).cte(table.name).prefix_with("NOT MATERIALIZED")


_whole = (
    _both(Voucher.__table__, archived_vouchers),
    _both(Redemption.__table__, archived_redemptions),
)


def archived_codes(keys: Sequence[str]) -> set[str]:
    """Return which of the codes, in normal form, archived vouchers have.

    Ask after the codes were inserted, in the same transaction: an insert that waited for the
    archiver is done when the archive has the voucher.
    """
    return set(db.session.scalars(of_archive, {"keys": list(keys)}))


of_archive = select(archived_vouchers.c.code_key).where(
    archived_vouchers.c.code_key == any_(bindparam("keys", type_=ARRAY(Text)))
)
