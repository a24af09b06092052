"""How a file of vouchers is laid out: CSV (RFC 4180) in UTF-8, its columns named in line 1."""

import re
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

media_type = "text/csv"
columns = (
    *("code", "email", "expires_at", "max_redemptions"),
    *("frozen_discount", "disabled_at", "redemption_count"),
)

# A spreadsheet runs a cell that begins like this as a formula; an apostrophe before it makes it a
# text (https://owasp.org/www-community/attacks/CSV_Injection). A text that has apostrophes there
# gets one more, so that taking one off gives back what was. Some spreadsheets take the signs of
# other widths for the plain ones, as Unicode's NFKC does.
wide = "\u207a\u207c\u208a\u208c\u2a75\u2a76\ufb29\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"
formula = rf"^'*[=+@{wide}\t\r-]"
defused = re.compile(rf"^'(?={formula[1:]})")


class Row(NamedTuple):
    """A voucher of a file, and the line where it begins; without an e-mail it is for the pool."""

    line: int
    code: str
    email: str | None = None
    expires_at: datetime | None = None
    max_redemptions: int | None = None
    frozen_discount: Decimal | None = None
    disabled_at: datetime | None = None


def text_of(cell: str) -> str:
    """Return the text of a cell, without the apostrophe that kept it from being a formula."""
    return cell[1:] if defused.match(cell) else cell
