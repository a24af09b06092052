"""Brings e-mails, names and references into the normal forms in which they are compared now.

Rows that become equal stay as they are, and are named with what to do.
"""

from collections.abc import Iterator

import click
from alembic import op
from sqlalchemy import text

from voucherpool.input import formats, names
from voucherpool.input.emails import email_key

revision = "0002"
down_revision = "0001"

found_by = (
    ("offers", "name", "id", "true"),
    ("schedules", "name", "id", "true"),
    ("api_keys", "name", "id", "true"),
    ("redemptions", "order_ref", "id", "other.code_key = this.code_key"),
    ("archived_redemptions", "order_ref", "id", "false"),
    ("claims", "claim_ref", "code_key", "other.offer_id = this.offer_id"),
)
"""Tables, their columns, what names a row, and with which other rows it must not become equal."""

customers = "SELECT id, email, email_key FROM customers WHERE email_key ~ '[^ -~]' ORDER BY id"


def upgrade() -> None:
    for problem in (*_emails(), *(told for where in found_by for told in _names(*where))):
        click.echo(problem, err=True)


def _emails() -> Iterator[str]:
    """Write the keys of international e-mails; yield what to do about customers who are equal."""
    for id_, email, old in _run(customers).all():
        key = email_key(email)
        other = _run("SELECT id FROM customers WHERE email_key = :key", key=key).scalar()
        if key == old:
            continue
        if other is None:
            _run("UPDATE customers SET email_key = :key WHERE id = :id", key=key, id=id_)
            continue
        yield (
            f"Customers {other} and {id_} have the same e-mail, in two forms of its domain."
            f" Requests find customer {other} by it. Erase customer {id_}, or give it another"
            f" e-mail with PATCH /customers/{id_}; its vouchers and redemptions stay."
        )


def _names(table: str, column: str, id_column: str, twins: str) -> Iterator[str]:
    """Write names in normal form; yield what to do about those that are equal, or not seen."""
    odd = f"SELECT DISTINCT {id_column} AS id, {column} AS old FROM {table} WHERE {column} ~ :odd"  # noqa: S608
    for id_, old in _run(odd, odd="[^ -~]|  ").all():
        new = names.normal_form(old)
        if not formats.name.fullmatch(new):
            yield (
                f"{table} {id_}: its {column} holds an invisible character, so no request can name"
                " it. Rename it if you need to."
            )
        elif new != old and not _write(table, column, id_column, twins, id_, old, new):
            yield (
                f"{table} {id_}: its {column} looks the same as that of another row, and stays as"
                " it is. Requests find the other one. Rename one of them if you need both."
            )


def _write(
    table: str, column: str, id_column: str, twins: str, id_: object, old: str, new: str
) -> bool:
    """Write a name unless another row has it; return whether it was written."""
    changed = _run(
        f"UPDATE {table} AS this SET {column} = :new WHERE {id_column} = :id AND {column} = :old"  # noqa: S608
        f" AND NOT EXISTS (SELECT FROM {table} AS other WHERE other.{column} = :new AND {twins})",
        id=id_,
        old=old,
        new=new,
    )
    return changed.rowcount > 0


def _run(statement: str, **values: object):
    return op.get_bind().execute(text(statement), values)


def downgrade() -> None:
    raise NotImplementedError("Normal forms are not taken back: the spellings of e-mails stay.")
