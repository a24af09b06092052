"""Pages of a list: each begins after the last row of the previous page, never at an offset."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import SQLColumnExpression, tuple_

from voucherpool.database.model import AnySelect, db

Position = tuple[object, ...]  # one row's values in the columns that order a list


class Page(NamedTuple):
    """Some rows of a list, and the position of the last one if more follow."""

    items: Sequence[object]
    next: Position | None


def fetch(
    statement: AnySelect,
    order: Sequence[SQLColumnExpression[object]],
    limit: int,
    after: Position | None,
    *,
    newest_first: bool = False,
) -> Page:
    """Return up to `limit` rows that follow the position; `order` must end in a unique column."""
    marked = statement.add_columns(*(column.label(f"at_{n}") for n, column in enumerate(order)))
    chosen = first_of(marked, order, limit + 1, after, newest_first=newest_first)
    return cut(db.session.execute(chosen).all(), limit, len(order))


def first_of(
    statement: AnySelect,
    order: Sequence[SQLColumnExpression[object]],
    count: int,
    after: Position | None,
    *,
    newest_first: bool = False,
) -> AnySelect:
    """Return the query of the first `count` rows that follow the position."""
    if after is not None:
        here, there = tuple_(*order), tuple_(*after)
        statement = statement.where(here < there if newest_first else here > there)
    directed = [column.desc() for column in order] if newest_first else order
    return statement.order_by(*directed).limit(count)


def cut(rows: Sequence[tuple[object, ...]], limit: int, places: int) -> Page:
    """Return up to `limit` of the rows; their last `places` columns are their position."""
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], tuple(rows[limit - 1][-places:]))
