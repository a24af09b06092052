"""The layout of a file of vouchers: CSV (RFC 4180) in UTF-8 with column names in line 1."""

import re
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from voucherpool.database.csv_files import formula

never = "never"
"""The cell of `expires_at` of a voucher without expiry."""
columns = (
    *("code", "email", "expires_at", "max_redemptions"),
    *("frozen_discount", "disabled_at", "redemption_count"),
)
other_names = {"expiry": "expires_at"}

defused = re.compile(rf"^'(?={formula[1:]})")


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
    """Return the text of a cell without the apostrophe that protects from formulas."""
    return cell[1:] if defused.match(cell) else cell
