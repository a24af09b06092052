"""Reads a file of vouchers line by line; every refusal names its line."""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import IO, Any

from marshmallow import ValidationError

from voucherpool.files import layout
from voucherpool.files.layout import Row
from voucherpool.input import formats
from voucherpool.input.fields import Amount, Count, Email, Field, Percentage, with_decimals
from voucherpool.input.times import Day, Timestamp, end_of_day
from voucherpool.vouchers.schemas import VanityCode, most_redemptions

longest_row = 10_000  # bytes
most_named = 100
most_wrong = most_empty = 10_000
"""Stop reading after this many wrong or empty lines: a file of nothing else only costs time."""

Reader = Callable[[str], Any]
Readers = Mapping[str, Reader]


class Unreadable(Exception):
    """The file cannot be read from this line on."""

    def __init__(self, line: int, reason: str) -> None:
        self.line = line
        self.reason = reason


class Refusals:
    """The number of a file's wrong lines, and the reasons of the first ones."""

    def __init__(self) -> None:
        self.count = 0
        self.unread = False
        self._reasons: dict[int, list[str]] = {}

    def add(self, line: int, reasons: list[str]) -> None:
        """Add a line after those added before."""
        self.add_all({line: reasons} if self.count < most_named else {}, 1)

    def add_all(self, first: Mapping[int, list[str]], count: int) -> None:
        """Add other lines: their number, and the reasons of the first ones."""
        self._reasons.update(first)
        self.count += count

    def by_line(self) -> dict[str, list[str]]:
        """Return the reasons under `line 7` and the like, and the number of lines under `file`."""
        first = sorted(self._reasons)[:most_named]
        wrong = "1 line is wrong" if self.count == 1 else f"{self.count} lines are wrong"
        rest = "; the lines after the last of them were not read" if self.unread else ""
        named = {f"line {line}": self._reasons[line] for line in first}
        return {**named, "file": [f"{wrong}{rest}."]}


class _Lines:
    """The lines of a file as text, with a limit for the bytes of each row."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._number = 0
        self.begin_row()

    def begin_row(self) -> None:
        self._first, self._left = self._number + 1, longest_row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._left -= len(line)
        if self._left < 0:
            raise Unreadable(self._first, f"Must have at most {longest_row} bytes.")
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Unreadable(self._number, "Must be UTF-8.") from error


def rows(file: IO[bytes], readers: Readers, refusals: Refusals) -> Iterator[Row]:
    """Yield the good rows of a file, and add the others to refusals."""
    try:
        records = _records(file)
        names = _header(*next(records, (1, [])))
        for line, cells in records:
            try:
                yield _row(line, names, cells, readers)
            except ValidationError as error:
                refusals.add(line, list(error.messages))
                if refusals.count == most_wrong:
                    refusals.unread = True
                    return
    except Unreadable as error:
        refusals.unread = True
        refusals.add(error.line, [error.reason])


def _records(file: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row; skip some empty lines.

    Semicolons separate the cells if they separate the names of the columns.
    """
    lines = _Lines(file)
    first_line = next(lines, "")
    separator = ";" if ";" in first_line else ","
    reader = csv.reader(chain([first_line], lines), delimiter=separator, strict=True)
    empty = 0
    while empty <= most_empty:
        lines.begin_row()
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(first, f"Must be CSV: {error}.") from error
        if cells:
            yield first, cells
        else:
            empty += 1
    raise Unreadable(first, f"Must not be empty: {most_empty} lines before it are.")


def _header(line: int, cells: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    for name in names:
        if name not in layout.columns:
            known = ", ".join(layout.columns)
            raise Unreadable(line, f"Unknown column {name[:40]!r}: must be one of {known}.")
    if len(set(names)) < len(names):
        raise Unreadable(line, "Must name each column once.")
    if "code" not in names:
        raise Unreadable(line, "Must name the columns, including code.")
    return names


def _row(line: int, names: list[str], cells: list[str], readers: Readers) -> Row:
    """Return a row's values; raise ValidationError with all reasons."""
    if len(cells) != len(names):
        raise ValidationError(f"Must have {len(names)} cells like line 1, not {len(cells)}.")
    values, reasons = {}, []
    for name, cell in zip(names, cells, strict=True):
        if cell:
            try:
                values[name] = readers[name](layout.text_of(cell))
            except ValidationError as error:
                reasons += [f"{name}: {reason}" for reason in error.messages]
        elif name == "code":
            reasons.append("code: Must not be empty.")
    if reasons:
        raise ValidationError(reasons)
    values.pop("redemption_count", None)
    return Row(line, **values)


def readers(currency_decimals: int | None, timezone: str) -> Readers:
    """Return the reader of each column's cells, as strict as the routes.

    A frozen discount is a percentage, or an amount if `currency_decimals` is given. A voucher that
    expires on a day is valid until the day ends in the `timezone`.
    """
    is_amount = currency_decimals is not None
    discount = _number(Amount(above_zero=True) if is_amount else Percentage())
    most = currency_decimals if currency_decimals is not None else 2
    return {
        "code": VanityCode().deserialize,
        "email": Email().deserialize,
        # Most rows have the same value.
        "expires_at": lru_cache(lambda cell: _moment(cell, timezone)),
        "max_redemptions": lru_cache(_number(Count(most=most_redemptions))),
        "frozen_discount": lru_cache(lambda cell: with_decimals(discount(cell), most)),
        "disabled_at": lru_cache(Timestamp().deserialize),
        "redemption_count": _no_redemptions,
    }


def _moment(cell: str, timezone: str) -> datetime:
    if formats.day.fullmatch(cell):
        return end_of_day(Day().deserialize(cell), timezone)
    moment: datetime = Timestamp().deserialize(cell)
    return moment


def _number(field: Field) -> Reader:
    def read(cell: str) -> object:
        if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,9})?", cell):
            raise ValidationError("Must be a number.")
        return field.deserialize(Decimal(cell))

    return read


def _no_redemptions(cell: str) -> None:
    if cell != "0":
        raise ValidationError("Must be 0: a file cannot contain redemptions.")
