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
    if after is not None:
        here, there = tuple_(*order), tuple_(*after)
        statement = statement.where(here < there if newest_first else here > there)
    marked = statement.add_columns(*(column.label(f"at_{n}") for n, column in enumerate(order)))
    directed = [column.desc() for column in order] if newest_first else order
    rows = db.session.execute(marked.order_by(*directed).limit(limit + 1)).all()
    return cut(rows, limit, len(order))


def cut(rows: Sequence[tuple[object, ...]], limit: int, places: int) -> Page:
    """Return up to `limit` of the rows; their last `places` columns are their position."""
    if len(rows) <= limit:
        return Page(rows, None)
    return Page(rows[:limit], tuple(rows[limit - 1][-places:]))
