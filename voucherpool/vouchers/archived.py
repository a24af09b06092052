"""The archive's tables, and queries that include the archive."""

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
    """Describe a table's archive: the same columns, and when the row was archived.

    It is partitioned by month, so that a purge drops tables instead of deleting rows. It needs no
    constraints: the rows obeyed them in the hot table and never change again.
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
    Voucher.__table__,
    Index("archived_vouchers_code_key_idx", "code_key"),
    Index("archived_vouchers_chosen_idx", "code_key", postgresql_where=text("is_chosen")),
    *(
        Index(f"archived_vouchers_{column}_idx", f"{column}_id", "expires_at", "issue_number")
        for column in ("customer", "offer")
    ),
    Index("archived_vouchers_batch_idx", "batch_id", "issue_number"),
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
    Index("archived_redemptions_offer_id_redeemed_at_idx", "offer_id", "redeemed_at"),
    Index(
        "archived_redemptions_offer_id_reversed_at_idx",
        "offer_id",
        "reversed_at",
        postgresql_where=text("reversed_at IS NOT NULL"),
    ),
)


class ArchivedTotals(Model):
    """An offer's totals of archived vouchers by the day of the shop; a purge keeps them.

    Everything counts on its own day. Amounts are in the currency, '' for none: `discounted` is what
    redemptions took off, `turnover` the orders' sum, and so much of both was given back. `used_up`
    and `expired` (unused) vouchers count under ''.
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
    turnover: Mapped[Decimal]
    turnover_given_back: Mapped[Decimal]
    used_up: Mapped[int]
    expired: Mapped[int]


class CustomerTotals(Model):
    """A customer's live redemptions of an offer in the archive, for the limit per customer.

    A purge keeps them.
    """

    __tablename__ = "customer_totals"
    __table_args__ = (PrimaryKeyConstraint("customer_id", "offer_id"),)

    customer_id: Mapped[int]
    offer_id: Mapped[int]
    redemption_count: Mapped[int]


def including_archive(statement: AnySelect) -> AnySelect:
    """Return the statement about vouchers and redemptions, including the archive.

    A CTE with a table's name hides the table
    (https://www.postgresql.org/docs/current/sql-select.html, "WITH Clause"), so the statement need
    not change. In its one snapshot a voucher is either hot or archived.
    """
    return statement.add_cte(*_whole)


def _both(table: Table, archive: Table) -> CTE:
    hot = select(*table.columns, null().label("archived_at"))
    # NOT MATERIALIZED lets the statement use the indexes of both tables.
    return union_all(hot, select(*archive.columns)).cte(table.name).prefix_with("NOT MATERIALIZED")


_whole = (
    _both(Voucher.__table__, archived_vouchers),
    _both(Redemption.__table__, archived_redemptions),
)


def _both_in_sql(table: Table) -> str:
    names = ", ".join(column.name for column in table.columns)
    hot = f"SELECT {names}, NULL::timestamptz AS archived_at FROM {table.name}"
    archive = f"SELECT {names}, archived_at FROM archived_{table.name}"
    return f"{table.name} AS NOT MATERIALIZED ({hot} UNION ALL {archive})"


with_archive = "WITH " + ", ".join(map(_both_in_sql, (Voucher.__table__, Redemption.__table__)))
"""The beginning of an SQL text that makes it include the archive, as including_archive() does."""


def archived_codes(keys: Sequence[str]) -> set[str]:
    """Return which of the codes, in normal form, belong to archived vouchers.

    Call it in the same transaction after inserting the codes: an insert waits for an archiver that
    is moving the same code.
    """
    return set(db.session.scalars(of_archive, {"keys": list(keys)}))


of_archive = select(archived_vouchers.c.code_key).where(
    archived_vouchers.c.code_key == any_(bindparam("keys", type_=ARRAY(Text)))
)
