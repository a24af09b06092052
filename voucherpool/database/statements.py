"""Prepared statements: built once, prepared once per connection, run on psycopg2's cursor."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import psycopg2
from sqlalchemy.dialects.postgresql import psycopg2 as driver
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

from voucherpool.database.connections import DirectConnection, is_lost, leases
from voucherpool.database.model import AnySelect, db, present_engine
from voucherpool.database.transactions import present_transaction

Row = TypeVar("Row", bound=tuple[object, ...])

# Not the default, which casts each parameter: a cluster finds no shard by a key that is cast.
dialect: Any = driver.dialect()  # type: ignore[no-untyped-call]
placeholder = re.compile(r"%\((\w+)\)s")
take_lock = "SELECT pg_advisory_xact_lock(hashtextextended(%(lock)s, 0))"


class Statement(Generic[Row]):
    """A statement that each connection prepares when it first runs it.

    Parsing and planning cost PostgreSQL more than running it
    (https://www.postgresql.org/docs/current/sql-prepare.html). This class bypasses SQLAlchemy's
    results, which would double this process's work.

    `row` is the NamedTuple of a result row, in which a UUID is a text. The parameters are the named
    bindparams; a missing one is NULL. The statement runs in the open transaction, or else commits
    by itself. Pass `prepared=False` if the best plan depends on the values.
    """

    def __init__(
        self,
        name: str,
        row: Callable[..., Row],
        statement: AnySelect | UpdateBase,
        *,
        prepared: bool = True,
    ) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        binds = compiled.binds.items()
        constants = {
            key: compiled.render_literal_value(bind.effective_value, bind.type)
            for key, bind in binds
            if bind.unique
        }
        types = {key: bind.type.compile(dialect) for key, bind in binds if not bind.unique}
        numbers = {key: f"${number}" for number, key in enumerate(types, 1)}
        text = placeholder.sub(lambda it: constants.get(it[1], it[0]), compiled.string)
        numbered = placeholder.sub(lambda it: numbers[it[1]], text).replace("%%", "%")
        self.sql = placeholder.sub(lambda it: f"CAST({it[0]} AS {types[it[1]]})", text)
        self.name, self._row, self._is_prepared = name, row, prepared
        self.preparation = f"PREPARE {name} {_listed(types.values())} AS {numbered}"
        self.execution = f"EXECUTE {name} {_listed(f'%({key})s' for key in types)}"
        self.parameters = dict.fromkeys(types)
        columns = tuple(statement.exported_columns.keys())
        if columns != getattr(row, "_fields", ()):
            raise TypeError(f"{name} returns {columns}, and {row} has other fields")

    def one_or_none(self, values: Mapping[str, object], *, lock: str | None = None) -> Row | None:
        """Run the statement and return its only row, or None if it gives no row."""
        rows = self.all(values, lock=lock)
        return rows[0] if rows else None

    def all(self, values: Mapping[str, object], *, lock: str | None = None) -> Sequence[Row]:
        """Run the statement and return its rows.

        With a `lock`, the same message first takes the advisory lock of that name until the
        transaction ends, so the statement sees all that earlier holders committed.
        """
        direct = present_connection()
        try:
            text = self.text_for(direct)
            if lock is not None:
                text = f"{take_lock};{text}"
                values = {**values, "lock": lock}
            direct.cursor.execute(direct.state.before() + text, {**self.parameters, **values})
            return [self._row(*found) for found in direct.cursor.fetchall()]
        except psycopg2.Error as error:
            raise _as_raised_by_sqlalchemy(error, self.sql, direct) from error

    def run_with_commit(self, values: Mapping[str, object]) -> None:
        """Run the statement at the end of the open transaction, in the commit's round trip."""
        present = present_transaction()
        if present is None:
            raise RuntimeError("there is no transaction to commit")
        direct = _connection_of_transaction()
        text = direct.cursor.mogrify(self.text_for(direct), {**self.parameters, **values})
        present.final_statements.append(text.decode())

    def text_for(self, direct: DirectConnection) -> str:
        """Return the SQL that runs the statement; prepare it on the connection if needed."""
        if not (self._is_prepared and direct.prepares) or direct.state.has_many_rows:
            return self.sql
        if self.name not in direct.state.prepared:
            direct.cursor.execute(self.preparation)
            direct.state.prepared.add(self.name)
        return self.execution


def _listed(parts: Iterable[str]) -> str:
    """Return the parts in parentheses; SQL allows no empty ones."""
    inner = ", ".join(parts)
    return f"({inner})" if inner else ""


def _connection_of_transaction() -> DirectConnection:
    return DirectConnection(present_engine(), db.session.connection().connection)


def present_connection() -> DirectConnection:
    """Return the open transaction's connection, or else the one that the thread keeps."""
    if present_transaction() is not None:
        return _connection_of_transaction()
    return leases.of(present_engine())


def _as_raised_by_sqlalchemy(
    error: psycopg2.Error, sql: str, direct: DirectConnection
) -> BaseException:
    lost = is_lost(error, direct.driver)
    if lost:
        direct.connection.invalidate(error)
        leases.give_up(present_engine())
    return DBAPIError.instance(
        sql, None, error, psycopg2.Error, hide_parameters=True, connection_invalidated=lost
    )
