"""Writes what a query finds as a CSV file (RFC 4180) in UTF-8; line 1 names the columns."""

import csv
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import IO, Any

from sqlalchemy import ColumnElement, case, func, literal

from voucherpool.database.model import AnySelect, db

media_type = "text/csv"
page_size = 1000
"""Few, because no other thread of the process computes while a page is fetched or written."""

# A spreadsheet runs a cell that begins like this as a formula, unless an apostrophe precedes it
# (https://owasp.org/www-community/attacks/CSV_Injection). A text that already begins with
# apostrophes gets one more, so that removing one restores it. Some spreadsheets read signs of other
# widths as plain ones, as Unicode's NFKC does.
wide = "\u207a\u207c\u208a\u208c\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
formula = rf"^'*[=+@{wide}\t\r-]"

Progress = Callable[[int], object]


def write(
    file: IO[bytes],
    columns: Sequence[str],
    chosen: AnySelect,
    progress: Progress = lambda _: None,
    *,
    bom: bool = False,
) -> int:
    """Write the rows of the query in one snapshot, rewind the file, and return their number.

    Call it in a long_transaction(). It passes the number of rows of each page to `progress`. With
    `bom` the file begins with a byte order mark, without which Excel does not read UTF-8.
    """
    text = TextIOWrapper(file, "utf-8-sig" if bom else "utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    found = db.session.execute(chosen, execution_options={"yield_per": page_size})
    written = 0
    for page in found.partitions():
        writer.writerows(page)
        written += len(page)
        progress(len(page))
    text.detach()
    file.seek(0)
    return written


def cell(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a text as no spreadsheet runs it."""
    is_formula = column.op("~")(literal(formula))
    return case((is_formula, literal("'") + column), else_=column)


def local_moment(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a moment to the second in the connection's time zone, the shop's."""
    return func.to_char(column, 'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM')


def moment(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a moment like the routes: in UTC, its fraction without trailing zeros."""
    spelt = func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS.US')
    return func.rtrim(func.rtrim(spelt, "0"), ".") + "Z"
