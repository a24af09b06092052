"""Listeners: the types of events that webhooks ask for.

Each process remembers them for a second. No event is missed: a webhook becomes active
`activation_seconds` after it was made. That is the sum of how old the memory may be, how long a
statement may take, and how long a transaction may pause before its commit.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import ARRAY, Engine, Text, func, literal_column, select, text

from voucherpool.database.model import present_engine
from voucherpool.database.statements import Statement

activation_seconds = 10  # memory 2, statement 3, pause in a transaction 5
renewed_after_seconds = 1.0
long_ago = datetime(1970, 1, 1, tzinfo=UTC)


class Listeners(NamedTuple):
    """The types that webhooks listen for; none is added before `until` of PostgreSQL's clock."""

    types: Collection[str]
    until: datetime


@dataclass
class Memory:
    """The listeners that this process knows, and when to ask again by time.monotonic()."""

    listeners: Listeners
    renewed_from: float


_memories: WeakKeyDictionary[Engine, Memory] = WeakKeyDictionary()


def known() -> Listeners:
    """Return the listeners, at most a second old."""
    now, engine = time.monotonic(), present_engine()
    memory = _memories.get(engine)
    if memory is None or now >= memory.renewed_from:
        [found] = ask.all({})
        memory = _memories[engine] = Memory(found, now + renewed_after_seconds)
    return memory.listeners


def forget() -> None:
    """Ask again at the next event."""
    _memories.clear()


def hear(type_: str) -> bool:
    """Tell whether somebody listens for the type."""
    return type_ in known().types


def unheard_until(type_: str) -> datetime:
    """Return until when nobody listens for the type; long ago if somebody does."""
    listeners = known()
    return long_ago if type_ in listeners.types else listeners.until


_listened_for = (
    select(func.array_agg(literal_column("DISTINCT type", Text)))
    .select_from(text("webhooks, unnest(event_types) AS type"))
    .where(text("disabled_at IS NULL"))
    .scalar_subquery()
)

ask = Statement(
    "listeners",
    Listeners,
    select(
        func.coalesce(_listened_for, literal_column("'{}'::text[]", ARRAY(Text))).label("types"),
        (func.statement_timestamp() + literal_column("interval '2 seconds'")).label("until"),
    ),
)
"""It names the table, because the model, in `notifications`, imports this package."""
