"""Types of fields that several schemas share, as strict as the contract."""

import base64
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import iso4217
from marshmallow import Schema, ValidationError, fields, validate

from voucherpool.input import formats

Field = fields.Field[Any]
Value = TypeVar("Value")

has_characters = "Must have {min} to {max} characters."
largest_amount = 10**12
largest_page = 500
currency_decimals = {
    currency.code: currency.exponent
    for currency in iso4217.Currency
    if currency.exponent is not None
}
"""The minor unit of each currency: how many decimals its amounts have (ISO 4217)."""


class Answer(Schema):
    """An answer, in which all fields are always present."""

    def on_bind_field(self, field_name: str, field_obj: Field) -> None:
        """Mark the field as required."""
        field_obj.required = True


class StopsAtFirst(fields.Field[Value]):
    """A field that names one reason, so a costly check never sees what a cheap one refused."""

    def _validate(self, value: Value) -> None:
        for check in self.validators:
            check(value)


class Text(StopsAtFirst[str], fields.String):
    """A line of text of 1 to `longest` characters, trimmed after the checks."""

    longest = 200
    form = formats.line
    expected = "one line of text without control characters"

    def __init__(self, *, longest: int | None = None, **options: Any) -> None:
        length = validate.Length(1, longest or self.longest, error=has_characters)
        form = validate.Regexp(self.form, error=f"Must be {self.expected}.")
        super().__init__(validate=(length, form), **options)

    def deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        """Return the text without the blanks around it."""
        text = super().deserialize(value, *args, **kwargs)
        return text.strip() if isinstance(text, str) else text


class Email(Text):
    """An e-mail address, at most 254 characters long (RFC 5321, section 4.5.3.1.3).

    Letters may be of any script (RFC 6531), so that its format is not `email`.
    """

    longest = 254
    form = formats.mailbox
    expected = "an e-mail address, such as ana@example.org"


class Amount(StopsAtFirst[Decimal]):
    """An amount of money as a JSON number, 0 or more, kept as a decimal."""

    most = largest_amount
    decimals = 4

    def __init__(self, *, above_zero: bool = False, **options: Any) -> None:
        checks = (
            validate.Range(Decimal(0), Decimal(self.most), min_inclusive=not above_zero),
            lambda number: with_decimals(number, self.decimals),
        )
        # apispec reads limits from Range, but not that one is excluded.
        least = {"exclusiveMinimum": 0} if above_zero else {}
        metadata = least | {"multipleOf": 10**-self.decimals} | options.pop("metadata", {})
        super().__init__(validate=checks, metadata=metadata, **options)

    def _deserialize(self, value: object, *_: object, **__: object) -> Decimal:
        return decimal_of(value)

    def _serialize(self, value: Decimal | None, *_: object, **__: object) -> float | int | None:
        return None if value is None else json_number(value)


class Currency(fields.String):
    """The code of a currency that has a minor unit (ISO 4217)."""

    def __init__(self, **options: Any) -> None:
        error = "Must be a currency of ISO 4217, such as EUR."
        known = validate.OneOf(sorted(currency_decimals), error=error)
        super().__init__(validate=known, **options)


class Percentage(Amount):
    """A JSON number above 0 and up to 100 with at most 2 decimals, kept as a decimal."""

    most = 100
    decimals = 2

    def __init__(self, **options: Any) -> None:
        super().__init__(above_zero=True, **options)


class Timestamp(fields.DateTime):
    """A moment from 2000 to 2199 in RFC 3339 with an offset; answered in UTC."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": formats.rfc3339.pattern}, **options)

    def _deserialize(self, value: object, *_: object, **__: object) -> datetime:
        if not (isinstance(value, str) and formats.rfc3339.fullmatch(value)):
            raise ValidationError(
                "Must be a date and time from 2000 to 2199 with an offset, "
                "such as 2027-04-21T18:25:43-05:00."
            )
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except ValueError as error:
            raise ValidationError("Must be a date and time that exist.") from error

    def _serialize(self, value: datetime | None, *_: object, **__: object) -> str | None:
        return None if value is None else rfc3339_utc(value)


class Day(fields.Date):
    """A day in UTC as RFC 3339 writes it: 2026-11-22."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": formats.day.pattern}, **options)

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> date:
        if not (isinstance(value, str) and formats.day.fullmatch(value)):
            raise ValidationError("Must be a day from 2000 to 2199, such as 2026-11-22.")
        return super()._deserialize(value, *args, **kwargs)


class Flag(fields.Boolean):
    """true or false; 0, 1 and texts are refused."""

    def _deserialize(self, value: object, *_: object, **__: object) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


class Count(fields.Integer):
    """A whole number from `least` to `most`, as a JSON number: 5.0 is 5 (JSON Schema, 6.1.1)."""

    def __init__(self, *, most: int, least: int = 1, **options: Any) -> None:
        super().__init__(validate=validate.Range(least, most), **options)

    def _validated(self, value: object) -> int:
        number = decimal_of(value)
        if number != round(number):
            raise ValidationError("Must be a whole number.")
        return int(number)


class Digits(fields.Integer):
    """A whole number in 1 to 18 ASCII digits, as a query or a cursor holds it."""

    def _validated(self, value: object) -> int:
        if not re.fullmatch("[0-9]{1,18}", str(value)):  # what PostgreSQL's bigint can hold
            raise ValidationError("Must be a whole number.")
        return int(str(value))


class Cursor(fields.Field[tuple[object, ...]]):
    """The end of the previous page: opaque to clients, and without codes."""

    def __init__(self, *parts: Field, **options: Any) -> None:
        self.parts = parts
        super().__init__(metadata={"pattern": formats.base64url.pattern}, **options)

    def _serialize(self, value: tuple[object, ...] | None, *_: object, **__: object) -> str | None:
        if value is None:
            return None
        pairs = zip(self.parts, value, strict=True)
        text = "~".join(str(part._serialize(item, None, None)) for part, item in pairs)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _deserialize(self, value: object, *_: object, **__: object) -> tuple[object, ...]:
        try:
            if not (isinstance(value, str) and formats.base64url.fullmatch(value)):
                raise ValueError
            texts = base64.urlsafe_b64decode(value + "==").decode().split("~")
            pairs = zip(self.parts, texts, strict=True)
            return tuple(part.deserialize(text) for part, text in pairs)
        except (ValueError, ValidationError) as error:
            raise ValidationError("Must be the cursor of the previous page.") from error


class PageRequest(Schema):
    """The page of a list to return; a list in another order than by id has its own cursor."""

    limit = Digits(validate=validate.Range(1, largest_page), load_default=100)
    cursor = Cursor(Digits())


def page_of(item: type[Schema], name: str, *place: Field) -> Schema:
    """Return the schema of a page of items; `place` are the parts of its cursor, or an id."""
    cursor = Cursor(*(place or (Digits(),)), allow_none=True)
    return Answer.from_dict(
        {"items": fields.List(fields.Nested(item)), "next": cursor}, name=name
    )()


def decimal_of(value: object) -> Decimal:
    """Return the number of a JSON number.

    Raises ValidationError for anything else, true and false included.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValidationError("Must be a number.")
    return Decimal(value)


def with_decimals(number: Decimal, most: int) -> Decimal:
    """Return the number; raises ValidationError if it has more decimals than that."""
    if number != round(number, most):
        raise ValidationError(f"Must have at most {most} decimals.")
    return number


def json_number(number: Decimal) -> float | int:
    """Return the shortest JSON number that stands for the decimal: 22.10 is 22.1, 22.00 is 22."""
    return int(number) if number == number.to_integral_value() else float(number)


def rfc3339_utc(moment: datetime) -> str:
    """Return the moment in UTC, in the form of RFC 3339."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
