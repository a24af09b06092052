"""Records administrative writes, and reads them again."""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Text, cast, select

from voucherpool.audit import actor
from voucherpool.audit.actions import Action
from voucherpool.audit.models import AuditEntry
from voucherpool.database import paging
from voucherpool.database.csv_files import cell, moment
from voucherpool.database.model import AnySelect
from voucherpool.database.paging import Page, Position
from voucherpool.database.statements import Statement
from voucherpool.input.amounts import json_number
from voucherpool.input.times import rfc3339_utc
from voucherpool.observability import logs

Values = Mapping[str, object]


def record(
    action: Action,
    subject_id: object,
    before: Values | None = None,
    after: Values | None = None,
    reason: str | None = None,
) -> None:
    """Record an administrative write in its transaction: one entry, by who acts now.

    `subject_id` names what the action's first word says. Of `before` and `after` only the fields
    that differ are kept; if both are given and none differs, nothing is recorded. Name people in
    them by their ids: only a customer's own entries may hold an e-mail or a name.
    """
    if before is not None and after is not None:
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        if not changed:
            return
        before, after = ({name: them.get(name) for name in changed} for them in (before, after))
    who = actor.current()
    add.run(
        {
            "api_key_id": who.api_key_id,
            "api_key": who.api_key,
            "actor": who.name,
            "request_id": logs.request_id.get(),
            "action": action,
            "subject": action.partition(".")[0],
            "subject_id": str(subject_id),
            "before": _json(before),
            "after": _json(after),
            "reason": reason,
        }
    )


def list_entries(limit: int, after: Position | None = None, **filters: Any) -> Page:
    """Return up to `limit` entries that match the filters of chosen(), the newest first."""
    return paging.fetch(chosen(**filters), order, limit, after, newest_first=True)


def chosen(
    *, since: datetime | None = None, until: datetime | None = None, **equal: object
) -> AnySelect:
    """Return the query of the entries since a moment and before another, by equal columns."""
    statement = select(*AuditEntry.__table__.columns)
    for name, value in equal.items():
        statement = statement.where(AuditEntry.__table__.c[name] == value)
    if since is not None:
        statement = statement.where(AuditEntry.created_at >= since)
    if until is not None:
        statement = statement.where(AuditEntry.created_at < until)
    return statement


def exported(**filters: Any) -> AnySelect:
    """Return the query of a file with the entries that list_entries() lists, the newest first."""
    newest_first = (column.desc() for column in order)
    return chosen(**filters).with_only_columns(*cells.values()).order_by(*newest_first)


def forget(customer_id: int) -> None:
    """Remove what a customer's entries say about the person; call this in the erasure."""
    erase.run({"customer_id": str(customer_id)})


order = (AuditEntry.created_at, AuditEntry.id)

_of_entry = AuditEntry.__table__.c
cells = {
    "id": _of_entry.id,
    "created_at": moment(_of_entry.created_at),
    "api_key_id": _of_entry.api_key_id,
    **{
        name: cell(cast(_of_entry[name], Text))
        for name in (
            *("api_key", "actor", "request_id", "action", "subject", "subject_id"),
            *("before", "after", "reason"),
        )
    },
}
"""The columns of a file; `before` and `after` are JSON."""


def _json(values: Values | None) -> str | None:
    return None if values is None else json.dumps(values, default=_plain)


def _plain(value: object) -> object:
    """Return a value as the answers of the API show it."""
    if isinstance(value, Decimal):
        return json_number(value)
    return rfc3339_utc(value) if isinstance(value, datetime) else str(value)


add = Statement(
    "record_administrative_write",
    tuple,
    """
    INSERT INTO audit_log (
        api_key_id, api_key, actor, request_id, action, subject, subject_id, before, after, reason
    )
    VALUES (
        :api_key_id, :api_key, :actor, :request_id, :action, :subject, :subject_id, :before, :after,
        :reason
    )""",
    {
        "api_key_id": "bigint",
        **dict.fromkeys(("api_key", "actor", "request_id", "action", "subject"), "text"),
        "subject_id": "text",
        "before": "jsonb",
        "after": "jsonb",
        "reason": "text",
    },
)

erase = Statement(
    "forget_customer_in_audit_log",
    tuple,
    """
    UPDATE audit_log
    SET before = before - '{email,name,language}'::text[],
        after = after - '{email,name,language}'::text[],
        reason = NULL
    WHERE subject = 'customer' AND subject_id = :customer_id""",
    {"customer_id": "text"},
)
