"""Reads the cells of a file of vouchers, as spreadsheets and shop systems write them.

A cell that two readers could read differently is refused, and both readings are named.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache, partial
from typing import Any

from marshmallow import ValidationError

from voucherpool.files.layout import never
from voucherpool.input import formats
from voucherpool.input.amounts import Amount, Percentage
from voucherpool.input.fields import Count, Email
from voucherpool.input.times import End, Moment, within_range
from voucherpool.vouchers.schemas import VanityCode, most_redemptions

Reader = Callable[[str], Any]
Readers = Mapping[str, Reader]

digits = re.compile("^[0-9]{1,18}$")
decimal = re.compile("^[0-9]{1,18}(?:[.,]([0-9]{1,9}))?$")
rewritten = re.compile("^[0-9](?:[.,][0-9]+)?[Ee][+][0-9]+$")
"""How spreadsheets write a number that is long, or a code such as 1E5 that they take for one."""
vanity_code = VanityCode()
perhaps_grouped = re.compile("^[1-9][0-9]{0,2}[.,][0-9]{3}$")
day_by_dots = re.compile(r"^([0-9]{1,2})\.([0-9]{1,2})\.(2[01][0-9]{2})$")
day_by_slashes = re.compile("^([0-9]{1,2})/([0-9]{1,2})/(2[01][0-9]{2})$")


def readers(currency_decimals: int | None, timezone: str) -> Readers:
    """Return the reader of each column's cells, as strict as the routes.

    A frozen discount is a percentage, or an amount if `currency_decimals` is given. Days are days
    in the `timezone`; a voucher that expires on a day is valid until the day ends.
    """
    is_amount = currency_decimals is not None
    discount = Amount(above_zero=True) if is_amount else Percentage()
    most = currency_decimals if currency_decimals is not None else 2
    return {
        "code": _code,
        "email": Email().deserialize,
        # Most rows have the same value.
        "expires_at": lru_cache(lambda cell: _end(cell, timezone)),
        "max_redemptions": lru_cache(partial(_count, least=1)),
        "frozen_discount": lru_cache(lambda cell: _amount(cell, discount, most)),
        "disabled_at": lru_cache(lambda cell: _moment(cell, Moment(), timezone)),
        "redemption_count": lru_cache(partial(_count, least=0)),
    }


def _code(cell: str) -> str:
    if rewritten.fullmatch(cell):
        raise ValidationError(
            "May be 1E5 or 100000, which spreadsheets write as 1.00E+05: format the cells as text."
        )
    code: str = vanity_code.deserialize(cell)
    return code


def _end(cell: str, timezone: str) -> datetime | str:
    """Return the moment of a cell, or what PostgreSQL understands by never."""
    return "infinity" if cell.strip().lower() == never else _moment(cell, End(), timezone)


def _moment(cell: str, field: Moment, timezone: str) -> datetime:
    try:
        day = _day(cell)
    except ValueError as error:
        raise ValidationError("Must be a day that exists.") from error
    if day is not None:
        return within_range(field.of(day, timezone))
    moment: datetime = field.deserialize(cell)
    return moment


def _day(cell: str) -> date | None:
    """Return the day that a cell names in figures, None if it names none. Raises ValueError."""
    by_dots, by_slashes = day_by_dots.fullmatch(cell), day_by_slashes.fullmatch(cell)
    if by_dots:
        day, month, year = map(int, by_dots.groups())
        return date(year, month, day)
    if by_slashes:
        return _day_by_slashes(*map(int, by_slashes.groups()))
    return date.fromisoformat(cell) if formats.day.fullmatch(cell) else None


def _day_by_slashes(first: int, second: int, year: int) -> date:
    """Return the day of 12/31/2030 or 31/12/2030. Raises ValidationError if both are possible."""
    if first > 12:
        return date(year, second, first)
    month_first = date(year, first, second)
    if first != second and second <= 12:
        day_first = date(year, second, first)
        raise ValidationError(f"May mean {month_first} or {day_first}: write it so.")
    return month_first


def _count(cell: str, least: int) -> int:
    if perhaps_grouped.fullmatch(cell):
        raise _two_readings(cell)
    if not digits.fullmatch(cell):
        raise ValidationError("Must be a whole number, in digits only.")
    count: int = Count(least=least, most=most_redemptions).deserialize(int(cell))
    return count


def _amount(cell: str, field: Amount, most: int) -> Decimal:
    number = decimal.fullmatch(cell)
    if number is None:
        raise ValidationError("Must be a number without grouping, such as 12.50.")
    decimals = len(number[1] or "")
    if perhaps_grouped.fullmatch(cell) and ("," in cell or decimals > most):
        raise _two_readings(cell)
    if decimals > most:
        raise ValidationError(f"Must have at most {most} decimals.")
    amount: Decimal = field.deserialize(Decimal(cell.replace(",", ".")))
    return amount


def _two_readings(cell: str) -> ValidationError:
    """Return the error for 1.000, which is a thousand in some countries, and 1 in others."""
    whole, rest = cell[:-4], cell[-3:]
    return ValidationError(
        f"May mean {whole}{rest} or {whole}.{rest}: write digits without grouping."
    )
