"""The layout of a file of vouchers: CSV (RFC 4180) in UTF-8 with column names in line 1."""

import re
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

media_type = "text/csv"
columns = (
    *("code", "email", "expires_at", "max_redemptions"),
    *("frozen_discount", "disabled_at", "redemption_count"),
)
other_names = {"expiry": "expires_at"}

# A spreadsheet runs a cell that begins like this as a formula, unless an apostrophe precedes it
# (https://owasp.org/www-community/attacks/CSV_Injection). A text that already begins with
# apostrophes gets one more, so that removing one restores it. Some spreadsheets read signs of other
# widths as plain ones, as Unicode's NFKC does.
wide = "\u207a\u207c\u208a\u208c\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
formula = rf"^'*[=+@{wide}\t\r-]"
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


def text_of(cell: str) -> str:
    """Return the text of a cell without the apostrophe that protects from formulas."""
    return cell[1:] if defused.match(cell) else cell
