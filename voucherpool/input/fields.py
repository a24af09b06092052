"""Field types that several schemas share."""

import base64
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import iso4217
from marshmallow import Schema, ValidationError, fields, validate

from voucherpool.input import formats

largest_amount = 10**12
largest_page = 500
currency_decimals = {
    currency.code: currency.exponent
    for currency in iso4217.Currency
    if currency.exponent is not None
}
"""How many decimals the amounts of each currency have (ISO 4217's minor unit)."""


class Answer(Schema):
    """An answer, in which all fields are always present."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Mark the field as required."""
        field_obj.required = True


class Text(fields.String):
    """A line of text of 1 to `longest` characters, trimmed."""

    def __init__(self, *, longest: int, **options: Any) -> None:
        self.longest = longest
        metadata = {"minLength": 1, "maxLength": longest, "pattern": formats.line.pattern}
        super().__init__(metadata=metadata | options.pop("metadata", {}), **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs)
        if len(text) > self.longest or not text.strip():
            raise ValidationError(f"Must have 1 to {self.longest} characters.")
        if not formats.line.fullmatch(text):
            raise ValidationError("Must not contain control characters.")
        return text.strip()


class Email(Text):
    """An e-mail address, at most 254 characters long (RFC 5321, section 4.5.3.1.3).

    Letters may be of any script (RFC 6531), so its format in the document is not `email`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(longest=254, metadata={"pattern": formats.mailbox.pattern}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        email = super()._deserialize(value, *args, **kwargs)
        if not formats.mailbox.fullmatch(email):
            raise ValidationError("Must be an e-mail address, such as ana@example.org.")
        return email


class Percentage(fields.Field[Decimal]):
    """A JSON number above 0 and up to 100 with at most 2 decimals, kept as a decimal."""

    def __init__(self, **options: Any) -> None:
        metadata = {"exclusiveMinimum": 0, "maximum": 100, "multipleOf": 0.01}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        number = decimal_of(value)
        if not 0 < number <= 100:
            raise ValidationError("Must be above 0 and at most 100.")
        return with_decimals(number, 2)

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> float | int:
        return json_number(value)


class Amount(fields.Field[Decimal]):
    """An amount of money, 0 or more, with at most 4 decimals; above 0 if `above_zero`."""

    def __init__(self, *, above_zero: bool = False, **options: Any) -> None:
        self.above_zero = above_zero
        least = "exclusiveMinimum" if above_zero else "minimum"
        metadata = {least: 0, "maximum": largest_amount, "multipleOf": 0.0001}
        super().__init__(metadata=metadata | options.pop("metadata", {}), **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        number = decimal_of(value)
        if not 0 <= number <= largest_amount or (self.above_zero and not number):
            above = "above 0" if self.above_zero else "0 or more"
            raise ValidationError(f"Must be {above} and at most {largest_amount}.")
        return with_decimals(number, 4)

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> float | int | None:
        return None if value is None else json_number(value)


class Currency(Text):
    """A currency's code by ISO 4217; currencies without a minor unit are refused."""

    def __init__(self, **options: Any) -> None:
        known = [*sorted(currency_decimals), *([None] if options.get("allow_none") else [])]
        super().__init__(longest=3, metadata={"enum": known}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        code = super()._deserialize(value, *args, **kwargs)
        if code not in currency_decimals:
            raise ValidationError("Must be a currency of ISO 4217, such as EUR.")
        return code


class Timestamp(fields.Field[datetime]):
    """A moment from 2000 to 2199 in RFC 3339 with an offset; answered in UTC."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": formats.rfc3339.pattern}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        if not (isinstance(value, str) and formats.rfc3339.fullmatch(value)):
            raise ValidationError(
                "Must be a date and time from 2000 to 2199 with an offset, "
                "such as 2027-04-21T18:25:43-05:00."
            )
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except ValueError as error:
            raise ValidationError("Must be a date and time that exist.") from error

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else rfc3339_utc(value)


class Day(fields.Date):
    """A day in UTC in RFC 3339, such as 2026-11-22."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": formats.day.pattern}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> date:
        if not (isinstance(value, str) and formats.day.fullmatch(value)):
            raise ValidationError("Must be a day from 2000 to 2199, such as 2026-11-22.")
        return super()._deserialize(value, *args, **kwargs)


class Flag(fields.Boolean):
    """true or false; 0, 1 and texts are refused."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


class PageSize(fields.Field[int]):
    """The most items of a page: 1 to 500, as a number or as text in a query."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"minimum": 1, "maximum": largest_page}, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        size = whole_number(value if isinstance(value, str) else str(value))
        if not 1 <= size <= largest_page:
            raise ValidationError(f"Must be 1 to {largest_page}.")
        return size


class Count(fields.Integer):
    """A whole number from `least` to `most`, as a JSON number: 5.0 is 5 (JSON Schema, 6.1.1)."""

    def __init__(self, *, most: int, least: int = 1, **options: Any) -> None:
        super().__init__(validate=validate.Range(least, most), **options)

    def _validated(self, value: Any) -> int:
        number = decimal_of(value)
        if number != round(number):
            raise ValidationError("Must be a whole number.")
        return int(number)


class Number(fields.Field[int]):
    """A whole number in digits, as part of a cursor."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        return whole_number(value)


class Cursor(fields.Field[tuple[Any, ...]]):
    """The end of the previous page: opaque to clients, and without codes."""

    def __init__(self, *parts: fields.Field[Any], **options: Any) -> None:
        self.parts = parts
        super().__init__(metadata={"pattern": formats.base64url.pattern}, **options)

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        pairs = zip(self.parts, value, strict=True)
        text = "~".join(str(part._serialize(item, None, None)) for part, item in pairs)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        try:
            if not formats.base64url.fullmatch(value):
                raise ValueError
            texts = base64.urlsafe_b64decode(value + "==").decode().split("~")
            pairs = zip(self.parts, texts, strict=True)
            return tuple(part.deserialize(text) for part, text in pairs)
        except (ValueError, TypeError, ValidationError) as error:
            raise ValidationError("Must be the cursor of the previous page.") from error


def decimal_of(value: Any) -> Decimal:
    """Return the number of a JSON number; raise ValidationError for all else, also true."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValidationError("Must be a number.")
    return Decimal(value)


def with_decimals(number: Decimal, most: int) -> Decimal:
    """Return the number; raise ValidationError if it has more than `most` decimals."""
    if number != round(number, most):
        raise ValidationError(f"Must have at most {most} decimals.")
    return number


def whole_number(digits: str) -> int:
    """Return the number of 1 to 18 ASCII digits, which PostgreSQL's bigint can hold."""
    if not re.fullmatch("[0-9]{1,18}", digits):
        raise ValidationError("Must be a whole number.")
    return int(digits)


def json_number(number: Decimal) -> float | int:
    """Return the decimal as its shortest JSON number: 22.10 is 22.1, 22.00 is 22."""
    return int(number) if number == number.to_integral_value() else float(number)


def rfc3339_utc(moment: datetime) -> str:
    """Return the moment in UTC as RFC 3339."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
