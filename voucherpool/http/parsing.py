"""Reads a request's body or query into a schema; raises only our own errors."""

from collections.abc import Mapping
from typing import NoReturn

import marshmallow
from flask import Request
from webargs.core import missing
from webargs.flaskparser import FlaskParser

from voucherpool.errors import InvalidInput, UnsupportedMediaType
from voucherpool.input import strict_json


class Parser(FlaskParser):
    """Parses JSON strictly, whatever the Content-Type, and refuses unknown parameters."""

    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {  # noqa: RUF012 (declared so by webargs)
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": marshmallow.RAISE,
    }

    def load_json(self, req: Request, schema: marshmallow.Schema) -> object:
        """Return the body's value, or `missing` for an empty body."""
        # Storefronts and `curl -d` often send no type or a wrong one, so refuse only the types
        # that cannot be JSON.
        is_xml = req.mimetype.endswith(("/xml", "+xml"))
        if is_xml or req.mimetype.startswith("multipart/") or req.content_encoding:
            raise UnsupportedMediaType
        body = req.get_data(cache=True)
        return strict_json.parse(body) if body else missing

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> object:
        """Return the query's parameters, or without a query those of a JSON body."""
        if not req.args:
            return self.load_json(req, schema)
        parameters = req.args.to_dict(flat=False)
        if repeated := {name: values for name, values in parameters.items() if len(values) > 1}:
            raise InvalidInput({name: ["Must not be given more than once."] for name in repeated})
        return req.args.to_dict()

    def handle_error(
        self,
        error: marshmallow.ValidationError,
        req: Request,
        schema: marshmallow.Schema,
        *,
        error_status_code: int | None,
        error_headers: Mapping[str, str] | None,
    ) -> NoReturn:
        """Raise InvalidInput with the schema's reasons."""
        [errors] = error.messages_dict.values()
        raise InvalidInput({_name(field): reasons for field, reasons in errors.items()})


def _name(field: str) -> str:
    return "body" if field == marshmallow.exceptions.SCHEMA else field
