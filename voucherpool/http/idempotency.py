"""One transaction for each write, and one answer for each Idempotency-Key.

The key, the work and the answer commit together (https://brandur.org/http-transactions), so a kill
at any instant leaves all of them or nothing, and no stuck key.
"""

import hashlib
import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import wraps
from typing import Any, ParamSpec

from flask import Flask, Response, current_app, g

from voucherpool.database import cluster
from voucherpool.database.retries import Repeatable
from voucherpool.database.transactions import committing, transaction
from voucherpool.errors import IdempotencyKeyReused, InvalidInput, OutcomeUnknown
from voucherpool.http import redaction
from voucherpool.http.bodies import Request, current_request
from voucherpool.http.stored_answers import store_answer, take_key
from voucherpool.input import strict_json

Arguments = ParamSpec("Arguments")
View = Callable[Arguments, Response]

Redacted = tuple[str, list[int]]
"""An answer without erased people, and the ids of the customers that it shows."""

references = ("order_ref", "claim_ref")
"""These fields identify a write even without an Idempotency-Key."""
# The IETF's draft quotes the key; most clients send it bare.
acceptable = re.compile(r'"[!-~]{1,255}"|[!#-~][!-~]{0,254}')


def init_app(app: Flask, redacted: Callable[[str], Redacted]) -> None:
    """Store answers as `redacted` returns them, without erased people, and without secrets."""
    app.extensions["redaction"] = redacted


def write(view: View[Arguments]) -> View[Arguments]:
    """Run a view in one transaction; with an Idempotency-Key, repeats get the first answer.

    A refusal rolls back and is not remembered. If the connection is lost at the commit, raises
    Repeatable for a request with an Idempotency-Key or a reference, since a retry finds what it
    wrote, and OutcomeUnknown for others.
    """
    return _writer(view, lambda _: False)


def write_in_one_statement(
    unless: str = "",
) -> Callable[[View[Arguments]], View[Arguments]]:
    """Return a decorator for a view that writes by a single statement, which needs no transaction.

    It takes more statements, and so a transaction, if the body has the field `unless`.
    """
    return lambda view: _writer(view, lambda body: unless not in body)


def _writer(view: View[Arguments], is_one_statement: Callable[[Any], bool]) -> View[Arguments]:
    @wraps(view)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Response:
        key = _key()
        try:
            if key is not None:
                # BEGIN goes with the key's statement, and COMMIT with the answer's.
                with transaction(begin=False):
                    return _answer(key, view, *args, **kwargs)
            alone = is_one_statement(args[0]) and not cluster.is_cluster() if args else False
            with committing() if alone else transaction():
                return view(*args, **kwargs)
        except OutcomeUnknown as error:
            if key is not None or (args and _names_itself(args[0])):
                raise Repeatable from error
            raise

    run.takes_idempotency_key = True  # type: ignore[attr-defined]
    return run


def _names_itself(body: object) -> bool:
    return isinstance(body, dict) and any(name in body for name in references)


def _answer(
    key: str, view: View[Arguments], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Response:
    fingerprint, scope = _fingerprint(), current_request().scope
    this = {"key": key, "scope": scope, "fingerprint": fingerprint}
    [known] = take_key.all(this, before="BEGIN")
    if bytes(known.fingerprint) != fingerprint:
        raise IdempotencyKeyReused
    if known.status is not None:
        replayed = {"Idempotent-Replayed": "true"}
        return Response(known.body, known.status, replayed, "application/json")
    response = view(*args, **kwargs)
    shown = redaction.without_secret(response.get_data(as_text=True))
    text, customer_ids = current_app.extensions["redaction"](shown)
    answer = {"code": response.status_code, "text": text, "customer_ids": customer_ids or None}
    with committing():
        store_answer.run({"this": key, "in_scope": scope, **answer}, after="COMMIT")
    return response


def _key() -> str | None:
    given: str | None = current_request().environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    if not acceptable.fullmatch(given):
        raise InvalidInput({"Idempotency-Key": ["Must be 1 to 255 visible ASCII characters."]})
    return given[1:-1] if given[0] == '"' else given


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
