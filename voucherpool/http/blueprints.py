"""Blueprints whose routes read and answer by schemas, name their scopes and are documented."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import flask_smorest
import marshmallow
from flask import Response, make_response

from voucherpool import errors
from voucherpool.database.retries import retrying
from voucherpool.http import parsing, problems
from voucherpool.http.authentication import public, requires
from voucherpool.http.idempotency import acceptable

View = TypeVar("View", bound=Callable[..., object])
encode = json.JSONEncoder(separators=(",", ":")).encode
"""Writes JSON like Flask's jsonify, which would create an encoder for each answer."""
Fields = dict[str, Any]
"""The values that a schema read from a body or a query, by field name."""

always_possible = (
    errors.MalformedJson,
    errors.MalformedBody,
    errors.ApiKeyRequired,
    errors.ApiKeyInvalid,
    errors.ScopeMissing,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.InvalidInput,
    errors.DatabaseUnavailable,
    errors.OutcomeUnknown,
)


idempotency_key = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "A repeat with the same key changes nothing and gets the first answer.",
    "schema": {"type": "string", "pattern": f"^(?:{acceptable.pattern})$"},
}


class Blueprint(flask_smorest.Blueprint):
    """A group of routes that name their scopes and document their refusals."""

    def doc(self, **documented: object) -> Callable[[View], View]:
        """Document the view as given."""
        return _documenting(super().doc(**documented))

    def _store_endpoint_docs(
        self, endpoint: str, view: object, *documented: object, methods: list[str], **more: object
    ) -> None:
        """Add an operation's id, which is `redeemVoucher` for `redeem_voucher`, and its scope."""
        super()._store_endpoint_docs(endpoint, view, *documented, methods=methods, **more)
        first, *words = endpoint.split("_")
        for method in methods:
            shown = self._docs[endpoint][method.lower()]["docstring"]
            shown["operationId"] = first + "".join(map(str.title, words))
            scope = getattr(view, "required_scope", public)
            needed = "no API key" if scope == public else f"an API key with the scope `{scope}`"
            told = (shown.get("description"), f"Needs {needed}.")
            shown["description"] = "\n\n".join(filter(None, told))

    def arguments(
        self, schema: marshmallow.Schema, *, location: str = "json", **documented: object
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Pass the view what the schema reads from the body or the query."""
        document = _documenting(super().arguments(schema, location=location, **documented))

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            @wraps(view)
            def run(**of_path: object) -> Response:
                return view(parsing.load(schema, location), **of_path)

            return document(run)

        return decorate

    def response(
        self, status: int, schema: Any = None, **documented: object
    ) -> Callable[[Callable[..., object]], Callable[..., Response]]:
        """Answer with what the view returns, written by the schema.

        The view may return a pair with another status or with headers, as in Flask, or a Response.
        """
        document = _documenting(super().response(status, schema, **documented))

        def decorate(view: Callable[..., object]) -> Callable[..., Response]:
            @wraps(view)
            def run(*args: object, **kwargs: object) -> Response:
                value = view(*args, **kwargs)
                return value if isinstance(value, Response) else _answer(value, status, schema)

            return document(run)

        return decorate

    def public(
        self, *refusals: type[errors.VoucherPoolError]
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Let everybody call the view, and document its refusals."""

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            document = self.doc(security=[], responses=problems.documented(*refusals))
            return requires(public)(document(retrying(view)))

        return decorate

    def guarded(
        self, scope: str, *refusals: type[errors.VoucherPoolError]
    ) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
        """Require the scope, retry lost races, and document the refusals besides the usual ones."""

        def decorate(view: Callable[..., Response]) -> Callable[..., Response]:
            writes = getattr(view, "takes_idempotency_key", False)
            repeats = (errors.IdempotencyKeyReused,) if writes else ()
            document = self.doc(
                security=[{"apiKey": [scope]}],
                responses=problems.documented(*always_possible, *repeats, *refusals),
                **({"parameters": [idempotency_key]} if writes else {}),
            )
            return requires(scope)(document(retrying(view)))

        return decorate


def _documenting(decorate: Callable[[Callable[..., object]], Any]) -> Callable[[View], View]:
    """Return a decorator that documents like flask-smorest's, and runs nothing around the view."""

    def document(view: View) -> View:
        view._apidoc = decorate(view)._apidoc  # type: ignore[attr-defined]
        return view

    return document


def _answer(result: object, status: int, schema: marshmallow.Schema | None) -> Response:
    value, *others = result if type(result) is tuple else (result,)
    content = f"{encode(schema.dump(value) if schema else value)}\n"
    response = Response(content, status, content_type="application/json")
    return make_response((response, *others)) if others else response
