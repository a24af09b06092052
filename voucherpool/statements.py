"""Statements of the busiest routes: built once, planned once by each connection, and run bare."""

import re
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import ClauseElement, PoolProxiedConnection
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from voucherpool.db import db, is_lost

dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
placeholder = re.compile(r"%\((\w+)\)s")


class Statement:
    """A statement that each connection parses and plans the first time it runs it.

    That saves PostgreSQL more work than running the statement takes
    (https://www.postgresql.org/docs/current/sql-prepare.html). It runs on psycopg2's cursor itself,
    because SQLAlchemy's results take this process as long as the rest of the way.

    Its parameters are the named bindparams; those that a caller leaves out are NULL. It runs in
    the present transaction; outside of any it commits by itself. One whose best plan depends on
    the values is not `prepared`.
    """

    def __init__(self, name: str, statement: ClauseElement, *, prepared: bool = True) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        binds = compiled.binds.items()
        constants = {
            key: compiled.render_literal_value(bind.effective_value, bind.type)
            for key, bind in binds
            if bind.unique
        }
        types = {key: bind.type.compile(dialect) for key, bind in binds if not bind.unique}
        numbers = {key: f"${number}" for number, key in enumerate(types, 1)}
        self._sql = placeholder.sub(lambda it: constants.get(it[1], it[0]), compiled.string)
        numbered = placeholder.sub(lambda it: numbers[it[1]], self._sql).replace("%%", "%")
        self._name, self._is_prepared = name, prepared
        self._preparation = f"PREPARE {name} ({', '.join(types.values())}) AS {numbered}"
        self._execution = f"EXECUTE {name} ({', '.join(f'%({key})s' for key in types)})"
        self._nothing = dict.fromkeys(types)
        self._make: Callable[[Any], Any] | None = None

    def one_or_none(self, values: dict[str, Any]) -> Any:
        """Run the statement and return its only row, or None if it gives no row."""
        rows = self.all(values)
        return rows[0] if rows else None

    def all(self, values: dict[str, Any]) -> list[Any]:
        """Run the statement and return its rows, whose fields have the columns' names."""
        with _lent_connection() as connection:
            cursor = connection.cursor()
            try:
                text = self._text_for(connection)
                if connection.info.pop("begin", False):
                    text = f"BEGIN;{text}"
                cursor.execute(text, self._nothing | values)
                found = cursor.fetchall()
            except psycopg2.Error as error:
                raise _as_raised_by_sqlalchemy(error, self._sql, connection) from error
            if self._make is None:
                names = [column[0] for column in cursor.description or ()]
                self._make = namedtuple(self._name, names)._make  # type: ignore[attr-defined]
        return [self._make(row) for row in found]

    def run_with_commit(self, values: dict[str, Any]) -> None:
        """Run the statement as the last of the present transaction, in the commit's round trip."""
        text = self._text_for(db.session.connection().connection)
        db.session.info["last_words"] = (text, self._nothing | values)

    def _text_for(self, connection: PoolProxiedConnection) -> str:
        if not (self._is_prepared and db.engine.get_execution_options()["prepare"]):
            return self._sql
        prepared = connection.info.setdefault("prepared", set())
        if self._name not in prepared:
            connection.cursor().execute(self._preparation)
            prepared.add(self._name)
        return self._execution


@contextmanager
def _lent_connection() -> Iterator[PoolProxiedConnection]:
    """Lend the connection that the session holds, or else one of the pool for one statement."""
    if db.session.registry.has() and db.session().in_transaction():
        yield db.session.connection().connection
    else:
        with db.engine.connect() as connection:
            yield connection.connection


def _as_raised_by_sqlalchemy(
    error: psycopg2.Error, sql: str, connection: PoolProxiedConnection
) -> BaseException:
    lost = is_lost(error, connection)
    if lost:
        connection.invalidate(error)
    return DBAPIError.instance(
        sql, None, error, psycopg2.Error, hide_parameters=True, connection_invalidated=lost
    )
