"""What the stored answers say of people, and how it is taken out of them."""

import json
from collections.abc import Collection, Iterator
from typing import Any

from flask import current_app
from sqlalchemy import ARRAY, Text, bindparam, select

from voucherpool.customers.models import Customer, email_key
from voucherpool.database.model import db


def storable(body: str) -> str:
    """Return an answer as it may be kept: with null for who was erased since it was written.

    Whoever else it names can be erased only once the transaction is over.
    """
    if '"email"' not in body:
        return body
    shown = set(_emails(json.loads(body)))
    erased = shown - known(shown)
    return without(body, erased) if erased else body


def known(keys: Collection[str]) -> set[str]:
    """Return which of the e-mails, as keys, customers have; none is erased until the commit."""
    return set(db.session.scalars(pin, {"emails": sorted(keys)}))


def without(body: str, people: Collection[str]) -> str:
    """Return an answer with null for the e-mails of these keys, and for the names beside them."""
    cleared: str = current_app.json.dumps(_cleared(json.loads(body), people))
    return cleared + "\n"


def _emails(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("email"):
            yield email_key(value["email"])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _emails(item)


def _cleared(value: Any, people: Collection[str]) -> Any:
    if isinstance(value, list):
        return [_cleared(item, people) for item in value]
    if not isinstance(value, dict):
        return value
    named = value.get("email") and email_key(value["email"]) in people
    return {
        field: None if named and field in ("email", "name") else _cleared(item, people)
        for field, item in value.items()
    }


# The weakest lock that an erasure waits for; those of several answers do not wait for each other.
pin = (
    select(Customer.email_key)
    .where(Customer.email_key == bindparam("emails", type_=ARRAY(Text)).any_())
    .order_by(Customer.id)
    .with_for_update(read=True, key_share=True)
)
