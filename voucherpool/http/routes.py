"""Routes: each is declared as data, and one function runs the requests of all of them."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import flask
import marshmallow
from flask import Response, make_response, url_for
from werkzeug.routing import BaseConverter

from voucherpool.database import cluster
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.retries import Repeatable, retrying
from voucherpool.database.transactions import committing, transaction
from voucherpool.errors import VoucherPoolError
from voucherpool.http import parsing
from voucherpool.http.files import transfers, uploads
from voucherpool.http.idempotency import keys as idempotency

View = TypeVar("View", bound=Callable[..., object])
encode = json.JSONEncoder(separators=(",", ":")).encode
"""Writes JSON like Flask's jsonify, which would create an encoder for each answer."""
Fields = dict[str, Any]
"""The values that a schema read from a body or a query, by field name."""
Around = Callable[..., AbstractContextManager[Fields]]

public = "public"
"""The scope of routes that everybody may call."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Route:
    """A route: what it takes, answers and refuses, and how it writes.

    Its caller needs the `scope`, or the one of `or_scope`.

    The `view` gets the fields of the `body` or the `query`, then what is in the path, and returns
    what the schema of the `answer` writes, with another status or headers if need be, or a
    Response. `refuses` are its errors besides the usual ones.

    With `writes` the view runs in one transaction, and takes an Idempotency-Key. Say
    `one_statement` if it writes by a single statement, which needs no transaction; name the fields
    `unless` which it takes more.

    `around` is a context manager in which all of that happens. It gets what the view gets, and
    gives the fields that the view gets instead. Here belongs what must not happen inside of the
    transaction: what takes long, and what is to stay after a refusal.

    `receives` is the media type of a file in the body, which the view gets as the field `path`;
    with `sends_file` the answer is one. Few of either run at once. `created` is the endpoint that
    shows what was created, and the name of the id in its path, for the header Location.

    `headers` and `documented` only go into the OpenAPI document: the headers of the answer, and
    parts of the operation that take the place of others.
    """

    view: Callable[..., Any]
    endpoint: str
    scope: str
    or_scope: str | None = None
    body: marshmallow.Schema | None = None
    body_is_optional: bool = False
    query: marshmallow.Schema | None = None
    answer: tuple[int, marshmallow.Schema | None] = (200, None)
    refuses: Sequence[type[VoucherPoolError]] = ()
    writes: bool = False
    one_statement: bool = False
    unless: str = ""
    around: Around | None = None
    receives: str | None = None
    sends_file: bool = False
    created: tuple[str, str] | None = None
    headers: Mapping[str, Any] | None = None
    documented: Mapping[str, Any] | None = None

    def __call__(self, **of_path: object) -> Response:
        """Answer a request, whose API key was checked before (http.authentication)."""
        if self.receives is None and not self.sends_file:
            return self._answer(of_path)
        with transfers.place() as leaving:
            received = {}
            if self.receives is not None:
                received["path"] = leaving.enter_context(uploads.received(self.receives))
            response = self._answer(of_path, **received)
            transfers.leave_when_sent(response, leaving)
        return response

    @retrying
    def _answer(self, of_path: Fields, **received: object) -> Response:
        """Answer once; what lost a race, or the database undid, runs again from here."""
        fields = self._read() | received
        around = nullcontext(fields) if self.around is None else self.around(fields, **of_path)
        with around as fields:
            if not self.writes:
                return self._written(self._call(fields, of_path))
            key = idempotency.key_of_request()
            try:
                with self._transaction(fields, key):
                    if key is not None and (earlier := idempotency.earlier_answer(key)):
                        return self._located(earlier)
                    response = self._written(self._call(fields, of_path))
                    if key is not None:
                        idempotency.store(key, response)
                    return self._located(response)
            except OutcomeUnknown as error:
                if key is not None or idempotency.references & fields.keys():
                    raise Repeatable from error  # a retry finds what this wrote
                raise

    def _read(self) -> Fields:
        """Read the body or the query. Raises InvalidInput and what parsing.load raises."""
        if self.body is not None:
            return parsing.load(self.body, "json")
        return {} if self.query is None else parsing.load(self.query, "query")

    def _call(self, fields: Fields, of_path: Fields) -> object:
        takes_fields = self.body is not None or self.query is not None
        return self.view(fields, **of_path) if takes_fields else self.view(**of_path)

    def _transaction(self, fields: Fields, key: str | None) -> AbstractContextManager[None]:
        """Return what commits the view's work: with a key, BEGIN goes with the key's statement."""
        if key is not None:
            return transaction(begin=False)
        alone = self.one_statement and self.unless not in fields and not cluster.is_cluster()
        return committing() if alone else transaction()

    def _written(self, result: object) -> Response:
        if isinstance(result, Response):
            return result
        value, *others = result if type(result) is tuple else (result,)
        status, schema = self.answer
        content = f"{encode(schema.dump(value) if schema else value)}\n"
        response = Response(content, status, content_type="application/json")
        return make_response((response, *others)) if others else response

    def _located(self, response: Response) -> Response:
        """Add the address of what was created, also to a repeated answer."""
        if self.created is not None:
            endpoint, name = self.created
            response.headers["Location"] = url_for(endpoint, **{name: response.get_json()["id"]})
        return response


class IdConverter(BaseConverter):
    """An id in an address: 1 to 18 digits, which PostgreSQL's bigint can hold."""

    regex = "[0-9]{1,18}"
    part_isolating = True

    def to_python(self, value: str) -> int:
        """Return the number."""
        return int(value)


class Blueprint(flask.Blueprint):
    """A group of routes.

    For the OpenAPI document are the `description`, and the `payloads` of events that the service
    sends, by their types.
    """

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        description: str,
        url_prefix: str | None = None,
        payloads: Mapping[str, marshmallow.Schema] | None = None,
    ) -> None:
        super().__init__(name, import_name, url_prefix=url_prefix)
        self.description, self.payloads = description, payloads or {}

    def get(self, rule: str, **declared: Any) -> Callable[[View], View]:
        """Return a decorator that makes a view a route for GET."""
        return self._declare("GET", rule, declared)

    def post(self, rule: str, **declared: Any) -> Callable[[View], View]:
        """Return a decorator that makes a view a route for POST."""
        return self._declare("POST", rule, declared)

    def put(self, rule: str, **declared: Any) -> Callable[[View], View]:
        """Return a decorator that makes a view a route for PUT."""
        return self._declare("PUT", rule, declared)

    def patch(self, rule: str, **declared: Any) -> Callable[[View], View]:
        """Return a decorator that makes a view a route for PATCH."""
        return self._declare("PATCH", rule, declared)

    def delete(self, rule: str, **declared: Any) -> Callable[[View], View]:
        """Return a decorator that makes a view a route for DELETE."""
        return self._declare("DELETE", rule, declared)

    def _declare(self, method: str, rule: str, declared: Fields) -> Callable[[View], View]:
        def decorate(view: View) -> View:
            route = Route(view=view, endpoint=view.__name__, **declared)
            self.add_url_rule(rule, route.endpoint, route, methods=[method])
            return view

        return decorate
