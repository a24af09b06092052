"""How pages write: in one transaction, and once where a double click would do harm."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from secrets import token_hex

from flask import request

from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.http.errors import IdempotencyKeyReused
from voucherpool.http.idempotency.stored_answers import store_answer, take_key

new_key = token_hex
"""Returns the key of a new form."""
scope = "console"
already_sent = "This form was sent before with other values: load the page again."


@contextmanager
def writing() -> Iterator[None]:
    """Open a transaction, and forget what was read before it: the page has looked for its user."""
    db.session.remove()
    with transaction():
        yield


def once(work: Callable[[], int], key: str | None = None) -> int:
    """Return the id that the work returns, the first one if the form was sent before.

    The work runs in one transaction with its key, which is the form's unless another is given.
    Raises IdempotencyKeyReused.
    """
    key = key or request.form.get("form_key", "")
    if not re.fullmatch("[0-9a-z-]{1,64}", key):
        raise IdempotencyKeyReused(already_sent)
    fingerprint = _fingerprint()
    with writing():
        [known] = take_key.all({"key": key, "scope": scope, "fingerprint": fingerprint})
        if bytes(known.fingerprint) != fingerprint:
            raise IdempotencyKeyReused(already_sent)
        if known.body is not None:
            return int(known.body)
        made = work()
        answer = {"code": 201, "text": str(made), "customer_ids": None}
        store_answer.run({"this": key, "in_scope": scope, **answer})
    return made


def _fingerprint() -> bytes:
    """Return a digest of what the form says."""
    said = sorted((name, text) for name, text in request.form.items() if name != "csrf_token")
    return hashlib.sha256(json.dumps([request.path, said]).encode()).digest()
