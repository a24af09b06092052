"""Knows whether somebody subscribed to a type of events, and records events about no voucher."""

import json
from collections.abc import Mapping

from voucherpool.database.statements import Statement
from voucherpool.events.models import no_code


def record_fact(type_: str, data: Mapping[str, object]) -> None:
    """Record an event about no single voucher, if somebody subscribed to its type."""
    record_one_fact.run({"type": type_, "data": json.dumps(data)})


def has_subscribers(type_: str) -> str:
    """Return the SQL condition that a webhook asks for events of the type, an SQL expression."""
    return f"""EXISTS (
            SELECT 1 FROM webhooks WHERE disabled_at IS NULL AND {type_} = ANY(event_types)
        )"""


# Later than the events of the same transaction.
record_one_fact = Statement(
    "record_fact",
    tuple,
    f"""
    INSERT INTO events (code_key, type, data, created_at)
    SELECT '{no_code}', :type, :data, clock_timestamp() WHERE {has_subscribers(":type")}""",
    {"type": "text", "data": "jsonb"},
)
