"""Finds and removes e-mails, the names beside them, and secrets in stored answers."""

import json
import re
from collections.abc import Collection, Iterator

from flask import current_app

from voucherpool.input.emails import email_key

fields = ("email", "audience")
"""The fields of answers that hold an e-mail, or a list of them."""
# Inside of a text JSON escapes the quotes, so only a field matches.
secret = re.compile('"secret": ?"[^"]*"')


def emails_in(body: str) -> set[str]:
    """Return the e-mails that an answer shows, in normal form."""
    # Checking first for any e-mail is faster: most answers have none.
    shows_any = any(f'"{field}"' in body for field in fields)
    return set(_emails(json.loads(body))) if shows_any else set()


def without(body: str, people: Collection[str]) -> str:
    """Return the answer with null for these people's e-mails and the names beside them.

    Lists of e-mails leave them out.
    """
    cleared: str = current_app.json.dumps(_cleared(json.loads(body), people))
    return cleared + "\n"


def without_secret(body: str) -> str:
    """Return the answer with null for its secret, if it shows one."""
    return secret.sub('"secret":null', body)


def _emails(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("email"):
            yield email_key(value["email"])
        if isinstance(value.get("audience"), list):
            yield from map(email_key, value["audience"])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _emails(item)


def _cleared(value: object, people: Collection[str]) -> object:
    if isinstance(value, list):
        return [_cleared(item, people) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("audience"), list):
        left = [email for email in value["audience"] if email_key(email) not in people]
        value = value | {"audience": left}
    named = value.get("email") and email_key(value["email"]) in people
    return {
        field: None if named and field in ("email", "name") else _cleared(item, people)
        for field, item in value.items()
    }
