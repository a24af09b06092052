"""Accepts only JSON that all parsers read the same way (I-JSON, RFC 7493) and PostgreSQL stores."""

import codecs
import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn

from voucherpool.input.errors import MalformedJson

deepest = 20
widest = 100  # names in one object
most_values = 20_000
longest_number = 40
extreme = "Must be a number of ordinary size."
# NUL cannot be stored in PostgreSQL; a lone surrogate cannot be encoded in UTF-8.
unstorable = re.compile(r"[\x00\ud800-\udfff]")


class Refused(NamedTuple):
    """Marks the place of an unacceptable part in the parsed value."""

    reason: str


def parse(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, fractions as decimals. Raises MalformedJson."""
    if sum(map(body.count, (b",", b"[", b"{"))) > most_values:
        raise MalformedJson(f"The body holds more than {most_values} values.")
    try:
        # RFC 8259, 8.1, lets a reader ignore a byte order mark.
        value = _decoder.decode(body.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8 at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise MalformedJson(f"The body is not JSON: {error}.") from error
    except RecursionError as error:
        raise MalformedJson(f"The body is nested deeper than {deepest} levels.") from error
    _check(value)
    return value


def _check(value: object, field: str = "body", depth: int = 0) -> None:
    """Raise MalformedJson with the outermost field's name if a value is not acceptable."""
    if isinstance(value, str):
        if unstorable.search(value):
            _refuse(field, "Must not contain NUL or a lone surrogate.")
    elif isinstance(value, Refused):
        _refuse(field, value.reason)
    elif isinstance(value, (dict, list)):
        if depth >= deepest:
            _refuse(field, f"Must not be nested deeper than {deepest} levels.")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and unstorable.search(key):
                _refuse(field, "Must not contain NUL or a lone surrogate in a name.")
            _check(item, field if depth else str(key), depth + 1)


def _refuse(field: str, reason: str) -> NoReturn:
    raise MalformedJson(
        "The body has a value that is not accepted; `errors` names its field.", {field: [reason]}
    )


def _object(pairs: list[tuple[str, object]]) -> dict[str, object] | Refused:
    if len(pairs) > widest:
        return Refused(f"Must not have more than {widest} names.")
    fields: dict[str, object] = {}
    for name, value in pairs:
        fields[name] = Refused("Must not be given more than once.") if name in fields else value
    return fields


def _number(convert: Callable[[str], object]) -> Callable[[str], object]:
    def parse_number(text: str) -> object:
        return convert(text) if len(text) <= longest_number else Refused(too_long)

    too_long = f"Must be a number of at most {longest_number} digits."
    return parse_number


def _decimal(text: str) -> Decimal | Refused:
    # Other parsers read a number beyond the range of a double as infinity or 0.
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Refused(extreme)
    return number if -350 <= number.adjusted() <= 308 else Refused(extreme)


_decoder = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_number(int),
    parse_float=_number(_decimal),
    parse_constant=lambda name: Refused(f"Must be a number; {name} is not JSON."),
)
