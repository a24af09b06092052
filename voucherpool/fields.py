"""Types of fields that several schemas share, as strict as the contract."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, fields, validate

control_characters = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
rfc3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
years = range(2000, 2200)


class Text(fields.String):
    """A line of text of 1 to `longest` characters, trimmed."""

    def __init__(self, *, longest: int, **options: Any) -> None:
        self.longest = longest
        metadata = {"minLength": 1, "maxLength": longest, **options.pop("metadata", {})}
        super().__init__(metadata=metadata, **options)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, *args, **kwargs).strip()
        if control_characters.search(text):
            raise ValidationError("Must not contain control characters.")
        if not 1 <= len(text) <= self.longest:
            raise ValidationError(f"Must have 1 to {self.longest} characters.")
        return text


class Email(Text):
    """An e-mail address, at most 254 characters long (RFC 5321, section 4.5.3.1.3)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            longest=254, validate=validate.Email(), metadata={"format": "email"}, **options
        )


class Percentage(fields.Field[Decimal]):
    """A JSON number above 0 and up to 100 with at most 2 decimals, kept as a decimal."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise ValidationError("Must be a number.")
        number = Decimal(value)
        if not 0 < number <= 100:
            raise ValidationError("Must be above 0 and at most 100.")
        if number != round(number, 2):
            raise ValidationError("Must have at most 2 decimals.")
        return number

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> float | int:
        return json_number(value)


class Timestamp(fields.Field[datetime]):
    """A moment as RFC 3339 writes it, its offset included; answered in UTC."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        if not (isinstance(value, str) and rfc3339.fullmatch(value)):
            raise ValidationError(
                "Must be a date and time with an offset, such as 2027-04-21T18:25:43-05:00."
            )
        try:
            moment = datetime.fromisoformat(value.upper())
        except ValueError as error:
            raise ValidationError("Must be a date and time that exist.") from error
        if moment.year not in years:
            raise ValidationError(f"Must be in the years {years.start} to {years.stop - 1}.")
        return moment.astimezone(UTC)

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return rfc3339_utc(value)


def json_number(number: Decimal) -> float | int:
    """Return the shortest JSON number that stands for the decimal: 22.10 is 22.1, 22.00 is 22."""
    return int(number) if number == number.to_integral_value() else float(number)


def rfc3339_utc(moment: datetime) -> str:
    """Return the moment in UTC, in the form of RFC 3339."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
