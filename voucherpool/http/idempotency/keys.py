"""One answer for each Idempotency-Key.

The key, the work and the answer commit together (https://brandur.org/http-transactions), so a kill
at any instant leaves all of them or nothing, and no stuck key.
"""

import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal

from flask import Flask, Response, current_app, g

from voucherpool.database.transactions import committing
from voucherpool.http.bodies import Request, current_request
from voucherpool.http.errors import IdempotencyKeyReused
from voucherpool.http.idempotency import redaction
from voucherpool.http.idempotency.stored_answers import store_answer, take_key
from voucherpool.input import strict_json
from voucherpool.input.errors import InvalidInput

Redacted = tuple[str, list[int]]
"""An answer without erased people, and the ids of the customers that it shows."""

references = frozenset({"order_ref", "claim_ref"})
"""These fields identify a write even without an Idempotency-Key."""
# The IETF's draft quotes the key; most clients send it bare.
acceptable = re.compile(r'"[!-~]{1,255}"|[!#-~][!-~]{0,254}')


def init_app(app: Flask, redacted: Callable[[str], Redacted]) -> None:
    """Store answers as `redacted` returns them, without erased people, and without secrets."""
    app.extensions["redaction"] = redacted


def key_of_request() -> str | None:
    """Return the request's Idempotency-Key, if it has one. Raises InvalidInput."""
    given: str | None = current_request().environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    if not acceptable.fullmatch(given):
        raise InvalidInput({"Idempotency-Key": ["Must be 1 to 255 visible ASCII characters."]})
    return given[1:-1] if given[0] == '"' else given


def earlier_answer(key: str) -> Response | None:
    """Begin a transaction, claim the key in it, and return the first answer, if there is one.

    Waits for a concurrent request with the same key. Raises IdempotencyKeyReused.
    """
    fingerprint, scope = _fingerprint(), current_request().scope
    this = {"key": key, "scope": scope, "fingerprint": fingerprint}
    [known] = take_key.all(this, before="BEGIN")
    if bytes(known.fingerprint) != fingerprint:
        raise IdempotencyKeyReused
    if known.status is None:
        return None
    return Response(known.body, known.status, {"Idempotent-Replayed": "true"}, "application/json")


def store(key: str, response: Response) -> None:
    """Store the answer for repeats, without secrets and erased people, and commit."""
    shown = redaction.without_secret(response.get_data(as_text=True))
    text, customer_ids = current_app.extensions["redaction"](shown)
    answer = {"code": response.status_code, "text": text, "customer_ids": customer_ids or None}
    this = {"this": key, "in_scope": current_request().scope}
    with committing():
        store_answer.run(this | answer, after="COMMIT")


def _fingerprint() -> bytes:
    """Return a digest of method, path and the body's value; the body's spelling does not matter.

    Nor does the visitor: a repeat may come from a shop's job, or from the visitor's next session.
    """
    request = current_request()
    canonical = json.dumps(
        [request.method, request.path, _value(request)], sort_keys=True, default=_canonical_number
    )
    return hashlib.sha256(canonical.encode()).digest()


def _value(request: Request) -> object:
    """Return the value of a JSON body; of an uploaded file, its digest and the query."""
    if "upload_digest" in g:
        return [g.upload_digest, request.args]
    body = request.get_data()
    value = strict_json.parse(body) if body else None
    if isinstance(value, dict):
        value.pop("client_ref", None)
    return value


def _canonical_number(number: Decimal) -> int | dict[str, str]:
    whole = number.to_integral_value()
    return int(whole) if number == whole else {"decimal": f"{number.normalize():f}"}
