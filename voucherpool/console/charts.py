"""Charts: the numbers of some days as bars, which a template draws as SVG."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

days_shown = 90


class Bar(NamedTuple):
    """A day's number, and the place and height of its bar in hundredths of the chart."""

    day: date
    value: float
    x: float
    width: float
    height: float


class Chart(NamedTuple):
    """A title, bars, and what the highest stands for; amounts of money have a currency."""

    title: str
    bars: Sequence[Bar]
    highest: float
    total: float
    currency: str | None


def by_day(
    title: str, values: Mapping[date, float], last: date, currency: str | None = None
) -> Chart:
    """Return the chart of the days up to the last one; with a currency, of money."""
    first = last - timedelta(days=days_shown - 1)
    all_days = [first + timedelta(days=number) for number in range(days_shown)]
    found = [float(values.get(day, 0)) for day in all_days]
    highest = max(found)
    step = 100 / days_shown
    bars = [
        Bar(day, value, number * step, step * 0.8, 100 * value / highest if highest else 0)
        for number, (day, value) in enumerate(zip(all_days, found, strict=True))
    ]
    return Chart(title, bars, highest, sum(found), currency)


def counts(days: Iterable[Mapping[str, Any]], name: str) -> dict[date, float]:
    """Return a count of statistics by day."""
    return {day["day"]: day[name] for day in days}


def amounts(
    days: Iterable[Mapping[str, Any]], name: str, currency: str | None
) -> dict[date, float]:
    """Return the sums of money in a currency by day."""
    return {
        day["day"]: float(each["amount"])
        for day in days
        for each in day[name]
        if each["currency"] == currency
    }
