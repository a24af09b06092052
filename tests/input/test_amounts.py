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
from voucherpool.input.fields import Amount, Percentage

cents = st.integers(0, 10**9)


def read(number):
    """Return what an amount becomes that a program with doubles writes as JSON."""
    return Amount().deserialize(strict_json.parse(repr(number).encode()))


@unhurried
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20))
def test_a_sum_of_doubles_is_the_sum_of_the_prices(prices):
    assert read(reduce(add, (price / 100 for price in prices))) == Decimal(sum(prices)) / 100


@unhurried
@given(cents, st.integers(1, 1000))
def test_a_product_of_doubles_is_the_product_of_the_price(price, quantity):
    assert read(price / 100 * quantity) == Decimal(price) * quantity / 100


@unhurried
@given(st.decimals(0, 10**9, places=4), st.integers(1, 10**4))
def test_a_digit_beyond_the_noise_is_refused(amount, further):
    digits = Decimal(further).scaleb(-8)
    if digits % Decimal("0.0001"):
        with pytest.raises(ValidationError, match="at most 4 decimals"):
            Amount().deserialize(amount + digits if amount < 10**6 else Decimal("1.00001"))


@pytest.mark.parametrize("number", ["0.30000000000000004", "59.970000000000006"])
def test_what_a_double_makes_of_a_sum_is_that_sum(number):
    assert Amount().deserialize(Decimal(number)) == round(Decimal(number), 2)


def test_the_noise_of_a_percentage_is_no_third_decimal():
    assert Percentage().deserialize(Decimal("22.100000000000001")) == Decimal("22.1")
    with pytest.raises(ValidationError, match="at most 2 decimals"):
        Percentage().deserialize(Decimal("33.333333333333336"))


@pytest.mark.parametrize("text", ["19.99", "0", "0.5", "007.10", "999999999999.9999"])
def test_a_decimal_string_is_an_amount(text):
    assert Amount().deserialize(text) == Decimal(text)


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
        "1.23456",
        "１９",
        "NaN",
        "1_000",
        "0x1",
    ],
)
def test_another_string_is_none(text):
    with pytest.raises(ValidationError, match=r'Must be a number, such as 19.99 or "19.99"'):
        Amount().deserialize(text)
