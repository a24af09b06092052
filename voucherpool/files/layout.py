"""The layout of a file of vouchers: CSV (RFC 4180) in UTF-8 with column names in line 1."""

import re
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from voucherpool.database.csv_files import formula
from voucherpool.input import formats

never = "never"
"""The cell of `expires_at` of a voucher without expiry."""
columns = (
    *("code", "email", "expires_at", "max_redemptions"),
    *("frozen_discount", "disabled_at", "redemption_count"),
)
_folded = re.compile(rf"[_{formats.blank}{formats.dash}{formats.invisible}]")
_by_folded_name = {name.replace("_", ""): name for name in columns} | {"expiry": "expires_at"}

# An apostrophe protects from formulas; ="00123" keeps a spreadsheet from dropping the zeros.
_defused = re.compile(rf"^'(?={formula[1:]})")
_kept_as_text = re.compile('^="([^"]*)"$')


class Row(NamedTuple):
    """A voucher of a file and its first line; without an e-mail it is for the pool."""

    line: int
    code: str
    email: str | None = None
    expires_at: datetime | None = None
    max_redemptions: int | None = None
    frozen_discount: Decimal | None = None
    disabled_at: datetime | None = None
    redemption_count: int | None = None


def text_of(cell: str) -> str:
    """Return the text of a cell without what protects it from a spreadsheet."""
    if kept := _kept_as_text.fullmatch(cell):
        return kept[1].strip()
    return cell[1:] if _defused.match(cell) else cell


def column_of(heading: str) -> str:
    """Return the name of the column that a heading names: E-Mail is `email`; others as they are."""
    name = heading.lower()
    return _by_folded_name.get(_folded.sub("", name), name)
