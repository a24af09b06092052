"""Prints what commands show: as tables for people, and with --json for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import combining, east_asian_width

import click

Row = Mapping[str, object]
"""A row by the names of its fields, as an answer of the API has them."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
"""Adds the option --json, which the command takes as `as_json`."""


def print_rows(rows: Iterable[Row], shown: Sequence[str], as_json: bool) -> None:
    """Print rows under headings, in columns that line up: the `shown` fields, or all as JSON."""
    if as_json:
        _print_json(list(rows))
    else:
        headings = [_words(name).upper() for name in shown]
        _print_lines([headings, *([_cell(row[name]) for name in shown] for row in rows)])


def print_record(record: Row, tables: Mapping[str, Sequence[str]], as_json: bool) -> None:
    """Print a record: one field a line, and below them its `tables` with the fields they show."""
    if as_json:
        _print_json(record)
        return
    _print_lines([_words(name), _cell(record[name])] for name in record if name not in tables)
    for name, shown in tables.items():
        rows = record[name]
        if isinstance(rows, list) and rows:
            click.echo(f"\n{_words(name).capitalize()}:")
            print_rows(rows, shown, as_json=False)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _print_lines(lines: Iterable[Sequence[str]]) -> None:
    lines = list(lines)
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padding = (most - _width(cell) for cell, most in zip(line, widths, strict=True))
        cells = (cell + " " * blanks for cell, blanks in zip(line, padding, strict=True))
        click.echo("  ".join(cells).rstrip())


def _words(name: str) -> str:
    return name.replace("_", " ")


def _cell(value: object) -> str:
    """Return a value as people read it; `-` is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = [part for part in value.values() if part is not None]
        return " ".join(map(_cell, value))
    if isinstance(value, list):
        return ", ".join(map(_cell, value)) or "-"
    return "-" if value is None else str(value)


def _width(text: str) -> int:
    """Return how many columns of a terminal the text takes (UAX 11)."""
    wide = sum(east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(combining(character) > 0 for character in text)
