"""Statements that are prepared once per connection, with named parameters and typed rows."""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import psycopg2
from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.postgresql import psycopg2 as driver
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import UpdateBase

from voucherpool.database import connections
from voucherpool.database.model import AnySelect, db
from voucherpool.database.transactions import current_transaction

Row = TypeVar("Row", bound=tuple[Any, ...])

kept_seconds = 60.0
"""A plan that PostgreSQL made for nearly empty tables lives no longer than its connection."""

# Not the default, which casts each parameter.
dialect: Any = driver.dialect()  # type: ignore[no-untyped-call]
# In a text, :name is a parameter, ::type a cast, and a colon after a digit part of a format.
named = re.compile(r"(?<![:\w]):([a-z]\w*)")
placeholder = re.compile(r"%\((\w+)\)s")
names: set[str] = set()


class Statement(Generic[Row]):
    """An SQL text, or a statement of SQLAlchemy Core, whose rows become NamedTuples of type `row`.

    Each connection prepares it when it first runs it, because parsing and planning cost PostgreSQL
    more than running it (https://www.postgresql.org/docs/current/sql-prepare.html). It bypasses
    SQLAlchemy's results, which would double this process's work. It runs in the open transaction,
    or else commits by itself.

    A text names its parameters `:name`, and `types` their types.
    """

    def __init__(
        self,
        name: str,
        row: Callable[..., Row],
        sql: str | AnySelect | UpdateBase,
        types: Mapping[str, str] | None = None,
    ) -> None:
        if name in names:
            raise ValueError(f"another statement has the name {name}")
        names.add(name)
        text, self._types = (sql, dict(types or {})) if isinstance(sql, str) else _compiled(sql)
        used = dict.fromkeys(named.findall(text))
        if used.keys() != self._types.keys():
            raise TypeError(f"{name} has parameters without a type, or types without a parameter")
        numbers = {key: f"${number}" for number, key in enumerate(self._types, 1)}
        self.sql = named.sub(
            lambda it: f"CAST(%({it[1]})s AS {self._types[it[1]]})", text.replace("%", "%%")
        )
        self.name, self._row = name, row
        self._is_checked = False
        self.preparation = f"PREPARE {name} {_listed(*self._types.values())} AS " + named.sub(
            lambda it: numbers[it[1]], text
        )
        self.execution = f"EXECUTE {name} {_listed(*(f'%({key})s' for key in self._types))}"

    def one_or_none(self, values: Mapping[str, object], *, before: str = "") -> Row | None:
        """Run the statement and return its only row, or None if it gives no row."""
        rows = self.all(values, before=before)
        return rows[0] if rows else None

    def all(self, values: Mapping[str, object], *, before: str = "") -> Sequence[Row]:
        """Run the statement and return its rows; send the SQL `before` it in the same message."""
        cursor = self._execute(values, before, "")
        if not self._is_checked:
            self._check_columns([column.name for column in cursor.description])
        return [self._row(*found) for found in cursor.fetchall()]

    def run(self, values: Mapping[str, object], *, before: str = "", after: str = "") -> None:
        """Run the statement, which gives no rows; send `before` and `after` in the same message."""
        self._execute(values, before, after)

    def _check_columns(self, given: list[str]) -> None:
        if given != list(getattr(self._row, "_fields", ())):
            raise TypeError(f"{self.name} gives the columns {given}, and {self._row} has others")
        self._is_checked = True

    def _execute(self, values: Mapping[str, object], before: str, after: str) -> Any:
        if values.keys() != self._types.keys():
            wrong = ", ".join(sorted(values.keys() ^ self._types.keys()))
            raise TypeError(f"{self.name} has other parameters: {wrong}")
        borrowed = _of_transaction() if current_transaction() else _of_thread()
        try:
            text = self._text_for(borrowed)
            borrowed.cursor.execute(";".join(filter(None, (before, text, after))), values)
        except psycopg2.Error as error:
            raise borrowed.error(error, self.sql) from error
        return borrowed.cursor

    def _text_for(self, borrowed: "Borrowed") -> str:
        """Return the SQL that runs the statement; prepare it on the connection if needed."""
        if not borrowed.prepares:
            return self.sql
        if self.name not in borrowed.prepared:
            borrowed.cursor.execute(self.preparation)
            borrowed.prepared.add(self.name)
        return self.execution


class Borrowed:
    """A connection to run statements on, without SQLAlchemy's work for each statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        pooled: Any = connection.connection
        self._driver = pooled.dbapi_connection
        self.cursor = pooled.cursor()
        self.prepared: set[str] = pooled.info.setdefault("prepared", set())
        self._until = time.monotonic() + kept_seconds
        # pgbouncer may run each statement on another connection, which has not prepared it.
        self._may_prepare: bool = connection.get_execution_options()["prepare"]

    @property
    def prepares(self) -> bool:
        """Tell whether to prepare statements: a long transaction plans for its many rows."""
        return self._may_prepare and not self._driver.may_take_long

    def is_usable(self) -> bool:
        """Tell whether the connection is young and open."""
        return time.monotonic() < self._until and not (
            self._driver.closed or connections.is_closed(self._driver)
        )

    def give_up(self) -> None:
        """Close the connection."""
        self._connection.invalidate()
        self._connection.close()

    def error(self, error: psycopg2.Error, sql: str) -> BaseException:
        """Return the error as SQLAlchemy raises it, and give a lost connection up."""
        lost = connections.is_lost(error, self._connection.dialect, self._driver)
        if lost:
            self._connection.invalidate(error)
        return DBAPIError.instance(
            sql, None, error, psycopg2.Error, hide_parameters=True, connection_invalidated=lost
        )


class _Kept(threading.local):
    def __init__(self) -> None:
        self.by_engine: WeakKeyDictionary[Engine, Borrowed] = WeakKeyDictionary()


_kept = _Kept()


def _of_thread() -> Borrowed:
    """Return the connection that this thread keeps out of the pool, for a minute at most.

    Borrowing one from the pool for each statement takes longer than the statement.
    """
    engine = db.engine
    kept = _kept.by_engine.get(engine)
    if kept is None or not kept.is_usable():
        give_up_kept_connection()
        kept = _kept.by_engine[engine] = Borrowed(engine.connect())
    return kept


def give_up_kept_connection() -> None:
    """Close the connection that this thread keeps, if it keeps one."""
    kept = _kept.by_engine.pop(db.engine, None)
    if kept is not None:
        kept.give_up()


def _of_transaction() -> Borrowed:
    db.session.flush()  # let the statement see what the models wrote
    return Borrowed(db.session.connection())


def _listed(*parts: str) -> str:
    """Return the parts in parentheses; SQL allows no empty ones."""
    return f"({', '.join(parts)})" if parts else ""


def _compiled(statement: AnySelect | UpdateBase) -> tuple[str, dict[str, str]]:
    """Return the text of a statement of SQLAlchemy Core, and the types of its parameters."""
    compiled: Any = statement.compile(dialect=dialect)
    types, written = {}, {}
    for key, bind in compiled.binds.items():
        if bind.unique:
            written[key] = compiled.render_literal_value(bind.effective_value, bind.type)
        else:
            types[key] = bind.type.compile(dialect)
            written[key] = f":{key}"
    return placeholder.sub(lambda it: written[it[1]], compiled.string).replace("%%", "%"), types
