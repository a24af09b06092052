"""JSON that every parser reads alike (I-JSON, RFC 7493) and that PostgreSQL can store."""

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from voucherpool.errors import MalformedJson

Path = tuple[str | int, ...]  # of a value: the names and positions that lead to it

deepest = 20
longest_number = 40
largest_exponent = 350
extreme = "Must be a number of ordinary size."
# NUL cannot be stored in PostgreSQL; a lone surrogate cannot be encoded in UTF-8.
unstorable = re.compile(r"[\x00\ud800-\udfff]")


class Refused(NamedTuple):
    """Stands in the parsed value where the text held something that cannot be accepted."""

    reason: str


def parse(body: bytes) -> Any:
    """Return the value of a JSON text in UTF-8, its fractions as decimals.

    Raises MalformedJson, which names the field where there is one to name.
    """
    try:
        value = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not UTF-8: see byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise MalformedJson(f"The body is not JSON: {error}.") from error
    except RecursionError as error:
        raise MalformedJson(f"The body is nested deeper than {deepest} levels.") from error
    for path, reason in _refusals(value):
        field = str(path[0]) if path else "body"
        raise MalformedJson("The body holds a value that cannot be accepted.", {field: [reason]})
    return value


def _refusals(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Refused):
        yield path, value.reason
    elif isinstance(value, str):
        if unstorable.search(value):
            yield path, "Must not contain NUL or a lone surrogate."
    elif isinstance(value, dict | list):
        if len(path) >= deepest:
            yield path, f"Must not be nested deeper than {deepest} levels."
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and unstorable.search(key):
                yield path, "Must not contain NUL or a lone surrogate in a name."
            yield from _refusals(item, (*path, key))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        fields[name] = Refused("Must not be given more than once.") if name in fields else value
    return fields


def _number(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse_number(text: str) -> Any:
        return convert(text) if len(text) <= longest_number else Refused(too_long)

    too_long = f"Must be a number of at most {longest_number} digits."
    return parse_number


def _decimal(text: str) -> Decimal | Refused:
    # Beyond the range of a double, other parsers read infinity or nothing.
    try:
        number = Decimal(text)
    except InvalidOperation:
        return Refused(extreme)
    exponent = int(number.as_tuple().exponent)
    is_ordinary = number.adjusted() <= 308 and abs(exponent) <= largest_exponent
    return number if is_ordinary else Refused(extreme)


_decoder = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_number(int),
    parse_float=_number(_decimal),
    parse_constant=lambda name: Refused(f"Must be a number; {name} is not JSON."),
)
