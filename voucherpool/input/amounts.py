"""Types of fields for amounts of money and percentages: JSON numbers that are read as decimals."""

from decimal import Context, Decimal
from typing import Unpack

import iso4217
from marshmallow import ValidationError, fields, validate

from voucherpool.input import formats
from voucherpool.input.fields import Options, StopsAtFirst, decimal_of

largest_amount = 10**12
exactly = Context(prec=1000)
residue = Decimal("0.000001")
"""What computing with doubles leaves of an amount is smaller."""
currency_decimals = {
    currency.code: currency.exponent
    for currency in iso4217.Currency
    if currency.exponent is not None
}
"""The minor unit of each currency: how many decimals its amounts have (ISO 4217)."""


class AmountShown(fields.Field[Decimal]):
    """An amount of money or a percentage of an answer, as a JSON number."""

    def _serialize(self, value: Decimal | None, *_: object, **__: object) -> float | int | None:
        return None if value is None else json_number(value)


class Amount(StopsAtFirst[Decimal], AmountShown):
    """An amount of money, 0 or more, as a JSON number or a decimal string; kept as a decimal.

    It may have the rounding error of a double beyond its last decimal.
    """

    most = largest_amount
    decimals = 4

    def __init__(self, *, above_zero: bool = False, **options: Unpack[Options]) -> None:
        least = Decimal(1).scaleb(-self.decimals) if above_zero else Decimal(0)
        super().__init__(validate=validate.Range(least, Decimal(self.most)), **options)

    def _deserialize(self, value: object, *_: object, **__: object) -> Decimal:
        if isinstance(value, str):
            if not formats.decimal.fullmatch(value):
                raise ValidationError('Must be a number, such as 19.99 or "19.99".')
            value = Decimal(value)
        return with_decimals(decimal_of(value), self.decimals)


class Currency(fields.String):
    """The code of a currency that has a minor unit (ISO 4217)."""

    def __init__(self, **options: Unpack[Options]) -> None:
        error = "Must be a currency of ISO 4217, such as EUR."
        known = validate.OneOf(sorted(currency_decimals), error=error)
        super().__init__(validate=known, **options)


class Percentage(Amount):
    """A percentage above 0 and up to 100 with at most 2 decimals."""

    most = 100
    decimals = 2

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(above_zero=True, **options)


def with_decimals(number: Decimal, most: int) -> Decimal:
    """Return the number without the rounding error of a double: 0.3 for 0.30000000000000004.

    Raises ValidationError if it has more than `most` decimals.
    """
    rounded = number.quantize(Decimal(1).scaleb(-most), context=exactly)
    if abs(number - rounded) >= residue:
        raise ValidationError(f"Must have at most {most} decimals.")
    return number if number == rounded else rounded


def json_number(number: Decimal) -> float | int:
    """Return the shortest JSON number that stands for the decimal: 22.10 is 22.1, 22.00 is 22."""
    return int(number) if number == number.to_integral_value() else float(number)
