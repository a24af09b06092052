"""The temporary table of a file's rows, and the statements that check, issue and enter them."""

from typing import Any

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

from voucherpool.customers.models import Customer
from voucherpool.database.model import AnySelect
from voucherpool.files import parsing, reading
from voucherpool.vouchers.archived import archived_vouchers
from voucherpool.vouchers.models import Voucher

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
rows = Table(
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
    return insert(rows).from_select([*values, "customer_id"], with_people)


def _twins() -> AnySelect:
    first = func.min(rows.c.line).over(partition_by=rows.c.code_key)
    lines = select(rows.c.line, first.label("first")).subquery().c
    reason = literal("code: The same code as in line ") + cast(lines.first, Text) + "."
    return select(lines.line, reason).where(lines.line > lines.first)


def _where(condition: ColumnElement[bool], reason: str) -> AnySelect:
    return select(rows.c.line, literal(reason)).where(condition)


def _issue_statement() -> Executable:
    columns = (
        *("code_key", "code", "customer_id", "expires_at"),
        *("max_redemptions", "redemption_count", "frozen_discount", "disabled_at"),
    )
    offer_id = bindparam("offer_id", type_=BigInteger)
    uses = rows.c.redemption_count
    used_at = case((uses == rows.c.max_redemptions, func.now()))
    was_redeemed = case((uses > 0, true()))
    chosen = select(*(rows.c[name] for name in columns), offer_id, true(), used_at, was_redeemed)
    named = [*columns, "offer_id", "is_chosen", "used_at", "was_redeemed"]
    return insert(Voucher.__table__).from_select(named, chosen.order_by(rows.c.line))


def _wrong_statement() -> Executable:
    """Build the query of the first wrong lines with their reasons, and the number of all of them.

    In its one snapshot a voucher is either hot or archived.
    """
    row, exists = rows.c, "code: A voucher with this code exists."
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

known = union(
    select(rows.c.line).where(Voucher.code_key == rows.c.code_key),
    select(rows.c.line).where(archived_vouchers.c.code_key == rows.c.code_key),
).order_by("line")

skip = delete(rows).where(rows.c.line == any_(bindparam("lines", type_=ARRAY(BigInteger))))

# Sorted, because two files that create the same customers in different orders can deadlock.
create_unknown = text("""
    INSERT INTO customers (email, email_key)
    SELECT DISTINCT ON (email_key) email, email_key FROM incoming
    WHERE email_key IS NOT NULL AND customer_id IS NULL ORDER BY email_key, line
    ON CONFLICT (email_key) DO NOTHING RETURNING id""")

name_created = text("""
    UPDATE incoming SET customer_id = customers.id FROM customers
    WHERE customers.email_key = incoming.email_key AND incoming.customer_id IS NULL""")

count_redemptions = select(func.coalesce(func.sum(rows.c.redemption_count), 0))

enter = text("""
    INSERT INTO redemptions (
        code_key, customer_id, offer_id, discount, discount_type, currency, kind
    )
    SELECT code_key, customer_id, offers.id, coalesce(frozen_discount, discount), discount_type,
        currency, 'imported'
    FROM incoming JOIN offers ON offers.id = :offer_id, generate_series(1, redemption_count)""")
