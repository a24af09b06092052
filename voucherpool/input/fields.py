"""Types of fields that several schemas share, as strict as the contract."""

import base64
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypedDict, TypeVar, Unpack

from marshmallow import ValidationError, fields, validate

from voucherpool.input import emails, formats, names

Field = fields.Field[Any]
Value = TypeVar("Value")

has_characters = "Must have {min} to {max} characters."
largest_page = 500


class Options(TypedDict, total=False):
    """The options that every field takes."""

    required: bool
    allow_none: bool
    load_default: object


class StopsAtFirst(fields.Field[Value]):
    """A field that reports one error, so a costly check never sees what a cheap one refused."""

    def _validate(self, value: Value) -> None:
        for check in self.validators:
            check(value)


class Text(StopsAtFirst[str], fields.String):
    """A line of text of 1 to `longest` characters, trimmed after the checks."""

    longest = 200
    form = formats.line
    expected = "one line of text without control characters"

    def __init__(self, *, longest: int | None = None, **options: Unpack[Options]) -> None:
        self.longest = longest or self.longest
        length = validate.Length(1, self.longest, error=has_characters)
        form = validate.Regexp(self.form, error=f"Must be {self.expected}.")
        super().__init__(validate=(length, form), **options)

    def deserialize(self, value: object, *args: Any, **kwargs: Any) -> Any:
        """Return the text without the blanks around it."""
        # marshmallow's way calls eight functions, to tell what is wrong with a text.
        if isinstance(value, str) and 0 < len(value) <= self.longest and self.form.match(value):
            text = self.stored(value)
            self.check_meaning(text)
            return text
        text = super().deserialize(value, *args, **kwargs)
        return self.stored(text) if isinstance(text, str) else text

    def stored(self, text: str) -> str:
        """Return the text in the form in which it is kept."""
        return text.strip()

    def check_meaning(self, text: str) -> None:
        """Raise ValidationError for a text that is wrong despite its form."""

    def _validate(self, value: str) -> None:
        super()._validate(value)
        self.check_meaning(self.stored(value))


class Name(Text):
    """A name or a reference by which something is found, in its normal form."""

    form = formats.name
    expected = "one line of text without invisible characters, which some emoji hold"

    def stored(self, text: str) -> str:
        """Return the normal form of the name."""
        return names.normal_form(text)

    def check_meaning(self, text: str) -> None:
        """Raise ValidationError if the normal form is too long: NFC makes three letters of some."""
        if len(text) > self.longest:
            raise ValidationError(f"Must have 1 to {self.longest} characters.")


class Email(Text):
    """An e-mail address of one mailbox, at most 254 characters long (RFC 5321, 4.5.3.1.3).

    Letters may be of any script (RFC 6531), so its format is not `email`. Quotes, comments and
    encoded words are refused.
    """

    longest = 254
    form = formats.mailbox
    expected = "an e-mail address, such as ana@example.org"

    def check_meaning(self, text: str) -> None:
        """Raise ValidationError if no mail server would take the local part or the domain."""
        if len(text.rpartition("@")[0].encode()) > emails.longest_local:
            raise ValidationError(f"Must have at most {emails.longest_local} bytes before the @.")
        if not emails.has_ordinary_domain(text):
            raise ValidationError("Must have a shorter domain, or shorter parts of it.")


class ClientRef(Text):
    """The shop's name for the visitor that a request serves: 1 to 128 visible ASCII characters."""

    longest = 128
    form = formats.visible
    expected = "visible ASCII characters, such as a digest in hexadecimal"

    def __init__(self) -> None:
        super().__init__()
        described = (
            "Your name for the visitor that you serve: the session, or a digest of the address."
            " Failed attempts then count for this visitor alone. It is kept as a digest for a"
            " minute, and used for nothing else."
        )
        self.metadata = {**self.metadata, "description": described}


class Metadata(fields.Field[dict[str, str] | None]):
    """Up to 20 texts that the shop keeps with something, by their names; {} is none."""

    most = 20
    longest_name, longest_text = 40, 500

    def __init__(self, *, attribute: str | None = None, **options: Unpack[Options]) -> None:
        text = {"type": "string", "minLength": 1, "pattern": formats.line.pattern}
        schema = {
            "type": "object",
            "maxProperties": self.most,
            "propertyNames": {**text, "maxLength": self.longest_name},
            "additionalProperties": {**text, "maxLength": self.longest_text},
        }
        self._name, self._text = Text(longest=self.longest_name), Text(longest=self.longest_text)
        super().__init__(metadata=schema, attribute=attribute, **options)

    def _serialize(self, value: dict[str, str] | None, *_: object, **__: object) -> Any:
        return value

    def _deserialize(self, value: object, *_: object, **__: object) -> dict[str, str] | None:
        if not isinstance(value, dict):
            raise ValidationError('Must be an object of texts, such as {"channel": "app"}.')
        if len(value) > self.most:
            raise ValidationError(f"Must have at most {self.most} names.")
        return dict(map(self._pair, value.items())) or None

    def _pair(self, item: tuple[str, object]) -> tuple[str, str]:
        name, text = item
        try:
            return self._name.deserialize(name), self._text.deserialize(text)
        except ValidationError as error:
            raise ValidationError({name[: self.longest_name]: error.messages}) from error


class OpenEnum(fields.String):
    """A text of an answer that has one of the known values today; later versions may add others."""

    def __init__(self, *known: str, **options: Unpack[Options]) -> None:
        super().__init__(metadata=open_enum(known), **options)


def open_enum(known: Iterable[str]) -> dict[str, Any]:
    """Return the JSON Schema of a text that has one of the known values today."""
    return {
        "type": "string",
        "anyOf": [{"type": "string", "enum": [*known]}, {"type": "string"}],
        "description": "More values may be added: treat an unknown one like the general case.",
    }


class Flag(fields.Boolean):
    """true or false; 0, 1 and texts are refused."""

    def _deserialize(self, value: object, *_: object, **__: object) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false.")
        return value


class Count(fields.Integer):
    """A whole number from `least` to `most`, as a JSON number: 5.0 is 5 (JSON Schema, 6.1.1)."""

    def __init__(self, *, most: int, least: int = 1, **options: Unpack[Options]) -> None:
        super().__init__(validate=validate.Range(least, most), **options)

    def _validated(self, value: object) -> int:
        number = decimal_of(value)
        if number != round(number):
            raise ValidationError("Must be a whole number.")
        return int(number)


class Id(Count):
    """The id of something, as a JSON number."""

    def __init__(self) -> None:
        super().__init__(most=10**18 - 1)  # what PostgreSQL's bigint can hold


class Digits(fields.Integer):
    """A whole number in 1 to 18 ASCII digits, as a query or a cursor holds it."""

    def _validated(self, value: object) -> int:
        if not re.fullmatch("[0-9]{1,18}", str(value)):  # what PostgreSQL's bigint can hold
            raise ValidationError("Must be a whole number.")
        return int(str(value))


class Cursor(fields.Field[tuple[object, ...]]):
    """The end of the previous page: opaque to clients, and without codes."""

    def __init__(self, *parts: Field, **options: Unpack[Options]) -> None:
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


def decimal_of(value: object) -> Decimal:
    """Return the number of a JSON number.

    Raises ValidationError for anything else, true and false included.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValidationError("Must be a number.")
    return Decimal(value)
