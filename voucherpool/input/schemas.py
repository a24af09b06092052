"""Bases of the schemas of requests and answers."""

from functools import partial
from typing import Any

from marshmallow import (
    Schema,
    ValidationError,
    fields,
    missing,
    post_load,
    pre_load,
    validate,
    validates_schema,
)

from voucherpool.input.fields import Count, Cursor, Digits, Field, largest_page


def null_is_absent(field: Field) -> bool:
    """Tell whether a request's null means no more than leaving the field out."""
    return not (field.required or field.allow_none)


class Request(Schema):
    """A request, in which null is absent wherever a field is optional.

    Programs in Java, C# and Go write null for what is absent.
    """

    error_messages = {"type": "Must be a JSON object."}  # noqa: RUF012 (marshmallow declares it so)

    @pre_load
    def without_nulls(self, data: Any, **_: object) -> Any:
        """Leave the fields out that are null, unless null has a meaning."""
        if not isinstance(data, dict) or None not in data.values():
            return data
        fields_ = self.load_fields.items()
        absent = {field.data_key or name for name, field in fields_ if null_is_absent(field)}
        return {name: it for name, it in data.items() if it is not None or name not in absent}


class Query(Request):
    """The parameters of a query, in which there is no null; a JSON body may stand for it."""


class Span(Request):
    """A request that may name a beginning and an end."""

    span = ("since", "until")

    @validates_schema(skip_on_field_errors=True)
    def begins_first(self, data: dict[str, Any], **_: object) -> None:
        """Refuse an end before the beginning, which would find nothing."""
        first, last = self.span
        if first in data and last in data and data[first] > data[last]:
            begin, end = (self.load_fields[name].data_key or name for name in self.span)
            raise ValidationError(f"Must not be before {begin}.", end)


class FileExport(Query):
    """With `bom`, for Excel, the file begins with a byte order mark."""

    bom = fields.Boolean(truthy={"true"}, falsy={"false"}, load_default=False)


class Plain(Request):
    """A request that is read a short way if it is valid as it stands.

    marshmallow would also call each absent field, and prepare to collect errors. It reads what
    needs more than that: a field by another name, a null that means absent, and what is wrong.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        fields_ = self.load_fields.items()
        self._readers = {
            field.data_key or name: (name, field.deserialize) for name, field in fields_
        }
        self._required = {field.data_key or name for name, field in fields_ if field.required}
        defaults = {name: field.load_default for name, field in fields_}
        self._defaults = {name: it for name, it in defaults.items() if it is not missing}

    def load(self, data: Any, **options: Any) -> Any:
        """Return what the schema reads from the data. Raises ValidationError."""
        if isinstance(data, dict) and data.keys() >= self._required:
            try:
                read = dict(self._field(*given) for given in data.items())
            except (KeyError, ValidationError):
                pass
            else:
                return self._defaults | read
        return super().load(data, **options)

    def _field(self, given: str, value: object) -> tuple[str, Any]:
        name, read = self._readers[given]
        return name, read(value)


class Answer(Schema):
    """An answer, in which all fields are always present."""

    def on_bind_field(self, field_name: str, field_obj: Field) -> None:
        """Mark the field as required."""
        field_obj.required = True


class Sparse(Schema):
    """An answer that omits fields without a value, apart from required ones."""

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return the fields that have a value, without marshmallow's four calls for each."""
        if self.many if many is None else many:
            return [self._written(each) for each in obj]
        return self._written(obj)

    def _written(self, obj: object) -> dict[str, Any]:
        value_of = obj.get if isinstance(obj, dict) else partial(getattr, obj)
        return {
            name: field._serialize(value, name, obj)
            for name, field in self.dump_fields.items()
            if (value := value_of(field.attribute or name, None)) is not None or field.required
        }


class Search(Request):
    """The page of a search to return, and its order; a search has a cursor of its own."""

    limit = Count(most=largest_page, load_default=100)
    order = fields.String(
        validate=validate.OneOf(("ascending", "descending")), load_default="ascending"
    )

    @post_load
    def with_direction(self, data: dict[str, Any], **_: object) -> dict[str, Any]:
        """Say whether the order is turned, as services take it."""
        if "order" in data:
            data["descending"] = data.pop("order") == "descending"
        return data


class PageRequest(Query):
    """The page of a list to return; a list that is not ordered by id has its own cursor."""

    limit = Digits(validate=validate.Range(1, largest_page), load_default=100)
    cursor = Cursor(Digits())


def page_of(item: type[Schema], name: str, *place: Field) -> Schema:
    """Return the schema of a page of items; `place` is its cursor's parts, by default an id."""
    cursor = Cursor(*(place or (Digits(),)), allow_none=True)
    return Answer.from_dict(
        {"items": fields.List(fields.Nested(item)), "next": cursor}, name=name
    )()
