"""Reads a file of vouchers line by line; every refusal names its line."""

import codecs
import csv
import re
from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest
from typing import IO

from marshmallow import ValidationError

from voucherpool.files import layout
from voucherpool.files.cells import Readers
from voucherpool.files.layout import Row

longest_row = 10_000  # bytes
most_named = 100
most_wrong = most_empty = 10_000
"""Stop reading after this many wrong or empty lines: a file of nothing else only costs time."""

separators = (";", "\t", "|", ",")
named_separator = re.compile(r'^"?sep=([;,|\t])"?\1*$', re.IGNORECASE)
"""A line of Excel's own before all others; a program that saves the file again may fill it up."""
unclosed = "Must end in its line: a quote opens here and is not closed."
not_utf_8 = (
    "Must be UTF-8: save the file so, or name its encoding. That of Western Europe's Excel is"
    " windows-1252."
)
causes = {
    "unexpected end of data": unclosed,
    "expected after": "Must have a quote inside of a cell twice.",
    "new-line character": "Must end with LF or CRLF, not with CR alone.",
}
"""What is wrong with a row, by what Python's reader says of it."""


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
        """Begin a row in the next line, which is then the `first`."""
        self.first, self._left = self._number + 1, longest_row

    def spans_lines(self) -> bool:
        """Tell whether a quote makes the row go on in a later line, which no row needs."""
        return self._number > self.first

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._number += 1
        self._left -= len(line)
        if self._left < 0:
            too_long = f"Must have at most {longest_row} bytes."
            raise Unreadable(self.first, unclosed if self.spans_lines() else too_long)
        if self._number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Unreadable(self._number, not_utf_8) from error


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
    """Yield the first line and the trimmed cells of each row; skip some rows without content."""
    lines = _Lines(file)
    names, separator = _first_with_content(lines)
    first, empty = lines.first, 0
    reader = csv.reader(chain([names], lines), delimiter=separator, strict=True)
    while empty <= most_empty:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise Unreadable(first, unclosed if lines.spans_lines() else _cause(error)) from error
        if lines.spans_lines():
            raise Unreadable(first, unclosed)
        if any(cells):
            yield first, cells
        else:
            empty += 1
        lines.begin_row()
        first = lines.first
    raise Unreadable(first - 1, f"Must not be empty: {most_empty} lines before it are.")


def _first_with_content(lines: _Lines) -> tuple[str, str]:
    """Return the first line that has content, and the separator of its cells."""
    named = None
    for line in lines:
        if match := named_separator.fullmatch(line.strip(" \r\n")):
            named = match[1]
        elif line.strip(' \t\r\n",;') or lines.first > most_empty:
            return line, named or next((it for it in separators if it in line), separators[-1])
        lines.begin_row()
    return "", separators[-1]


def _cause(error: csv.Error) -> str:
    known = (cause for words, cause in causes.items() if words in str(error))
    return next(known, "Must be CSV (RFC 4180).")


def _header(line: int, cells: list[str]) -> list[str]:
    """Return the names of the columns; those without a name are empty."""
    names = [layout.column_of(cell) for cell in cells]
    given = [name for name in names if name]
    for name in given:
        if name not in layout.columns:
            known = ", ".join(layout.columns)
            raise Unreadable(line, f"Unknown column {name[:40]!r}: must be one of {known}.")
    if len(set(given)) < len(given):
        raise Unreadable(line, "Must name each column once; expiry is expires_at.")
    if "code" not in names:
        raise Unreadable(line, "Must name the columns, including code.")
    return names


def _row(line: int, names: list[str], cells: list[str], readers: Readers) -> Row:
    """Return a row's values; raise ValidationError with all reasons."""
    values, reasons = {}, []
    for name, cell in zip_longest(names, cells, fillvalue=""):
        if name and cell:
            try:
                values[name] = readers[name](layout.text_of(cell))
            except ValidationError as error:
                reasons += [f"{name}: {reason}" for reason in error.messages]
        elif cell:
            reasons.append("Must have no content in a column without a name.")
        elif name == "code":
            reasons.append("code: Must not be empty.")
    if reasons:
        raise ValidationError(reasons)
    return Row(line, **values)
