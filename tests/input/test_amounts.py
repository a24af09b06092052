"""Amounts: numbers with the noise of a double, decimal strings, and what is neither."""

from decimal import Decimal
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from tests.unhurried import unhurried
from voucherpool.input import strict_json
from voucherpool.input.amounts import Amount, Percentage


def read(number):
    """Return what an amount becomes that a program with doubles writes as JSON."""
    return Amount().deserialize(strict_json.parse(repr(number).encode()))


@unhurried
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_a_sum_of_doubles_is_the_sum_of_the_prices(prices):
    assert read(reduce(add, (price / 100 for price in prices))) == Decimal(sum(prices)) / 100


@unhurried
@given(st.integers(0, 10**7), st.integers(1, 1000))
def test_a_product_of_doubles_is_the_product_of_the_price(price, quantity):
    assert read(price / 100 * quantity) == Decimal(price) * quantity / 100


@unhurried
@given(st.decimals(0, 10**9, places=4), st.integers(1, 10**4))
def test_a_digit_beyond_the_noise_is_refused(amount, further):
    digits = Decimal(further).scaleb(-6)
    if digits % Decimal("0.0001"):
        with pytest.raises(ValidationError, match="at most 4 decimals"):
            Amount().deserialize(amount + digits)


@pytest.mark.parametrize(
    "number", [9.990000000000009, 0.009999999999990905, -5.551115123125783e-17]
)
def test_a_difference_of_doubles_is_the_difference_of_the_prices(number):
    assert read(number) == round(Decimal(number), 2)


def test_only_what_is_below_a_millionth_of_a_unit_is_noise():
    assert Amount().deserialize(Decimal("1.00000099")) == 1
    with pytest.raises(ValidationError, match="at most 4 decimals"):
        Amount().deserialize(Decimal("1.000001"))


@pytest.mark.parametrize("number", ["0.30000000000000004", "59.970000000000006"])
def test_what_a_double_makes_of_a_sum_is_that_sum(number):
    assert Amount().deserialize(Decimal(number)) == round(Decimal(number), 2)


def test_the_noise_of_a_percentage_is_no_third_decimal():
    assert Percentage().deserialize(Decimal("22.100000000000001")) == Decimal("22.1")
    with pytest.raises(ValidationError, match="at most 2 decimals"):
        Percentage().deserialize(Decimal("33.333333333333336"))


@pytest.mark.parametrize(
    "text", ["19.99", "0", "0.5", "007.10", "999999999999.9999", "1000000000000", "29.900000"]
)
def test_a_decimal_string_is_the_amount_that_the_number_is(text):
    assert Amount().deserialize(text) == Decimal(text) == Amount().deserialize(Decimal(text))


def test_the_noise_of_a_double_in_a_string_is_rounded_away():
    assert Amount().deserialize("59.970000000000006") == Decimal("59.97")
    with pytest.raises(ValidationError, match="at most 4 decimals"):
        Amount().deserialize("1.23456")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 19.99",
        "19,99",
        "+1",
        "-1",
        "1e3",
        "1.",
        ".5",
        "１９",
        "NaN",
        "1_000",
        "0x1",
    ],
)
def test_another_string_is_none(text):
    with pytest.raises(ValidationError, match=r'Must be a number, such as 19.99 or "19.99"'):
        Amount().deserialize(text)
