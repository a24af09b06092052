"""Forms: read by the schemas of the API, and shown again with what is wrong beside each field."""

from collections.abc import Mapping, Sequence
from typing import Any

import marshmallow
from flask import current_app

from voucherpool.console.edge import Refused, refused
from voucherpool.errors import VoucherPoolError
from voucherpool.input.errors import InvalidInput
from voucherpool.input.fields import Count, Flag
from voucherpool.input.times import days_of

Fields = dict[str, Any]
most_digits = 18


class Form:
    """A form whose fields have the names of a schema's; `values` are as the form holds them."""

    def __init__(
        self, schema: marshmallow.Schema, names: Sequence[str], values: Mapping[str, str]
    ) -> None:
        self.schema, self.names, self.values = schema, names, dict(values)
        self.errors: dict[str, str] = {}

    def load(self, **more: object) -> Fields:
        """Return what the schema reads from the fields, and from `more`. Raises InvalidInput."""
        fields = {field.data_key or name: field for name, field in self.schema.load_fields.items()}
        read = {name: _typed(fields[name], self.values.get(name, "")) for name in self.names}
        given = {name: value for name, value in read.items() if _says(fields[name], value)}
        try:
            with days_of(current_app.config["TIMEZONE"]):
                loaded: Fields = self.schema.load(given | more)
                return loaded
        except marshmallow.ValidationError as error:
            raise InvalidInput(error.messages_dict) from error

    def load_changes(self, before: Mapping[str, str]) -> Fields:
        """Return what the schema reads from the fields that the user has changed."""
        names = self.names
        self.names = [name for name in names if self.values.get(name, "") != before.get(name, "")]
        try:
            return self.load()
        finally:
            self.names = names

    def refused(self, template: str, error: VoucherPoolError, **shown: Any) -> Refused:
        """Return the form's page again, with what is wrong beside each field."""
        self.errors = dict(_flat(error.errors or {}))
        return refused(template, error, form=self, **shown)


def _typed(field: marshmallow.fields.Field[Any], text: str) -> object:
    """Return a form's text as the JSON of the API has it; None for an empty field."""
    if isinstance(field, Flag):
        return bool(text)
    text = text.strip()
    if isinstance(field, Count) and text.isascii() and text.isdigit() and len(text) <= most_digits:
        return int(text)
    return text or None


def _says(field: marshmallow.fields.Field[Any], value: object) -> bool:
    return value is not None or field.allow_none


def _flat(errors: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the reasons as a text for each field, those of nested ones by their own names."""
    found: list[tuple[str, str]] = []
    for name, reasons in errors.items():
        if isinstance(reasons, Mapping):
            found += _flat({str(key): value for key, value in reasons.items()})
        else:
            found.append((name, " ".join(map(str, reasons))))
    return found
