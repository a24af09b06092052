"""How the console shows moments, numbers and money: as the browser's locale writes them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, numbers
from flask import current_app, g, request
from markupsafe import Markup

from voucherpool.errors import VoucherPoolError
from voucherpool.input import formats
from voucherpool.input.times import last_day

most_languages = 5
nothing = "\N{EN DASH}"
without: Sequence[object] = (None, [], {})
"""Values that say nothing about what was done."""


def locale() -> Locale:
    """Return the first of the browser's locales that is known, or English."""
    if "locale" not in g:
        g.locale = _locale()
    found: Locale = g.locale
    return found


def _locale() -> Locale:
    for language in [*request.accept_languages.values()][:most_languages]:
        try:
            return Locale.parse(language, sep="-")
        except (ValueError, UnknownLocaleError, TypeError):
            continue
    return Locale("en")


def timezone() -> str:
    """Return the shop's time zone."""
    name: str = current_app.config["TIMEZONE"]
    return name


def today() -> date:
    """Return the day in the shop's time zone."""
    return datetime.now(ZoneInfo(timezone())).date()


def moment(value: datetime | None, otherwise: str = "never") -> str:
    """Return a moment in the shop's time zone, to the minute."""
    if value is None:
        return otherwise
    local = value.astimezone(ZoneInfo(timezone()))
    day = dates.format_date(local, "medium", locale())
    text = f"{day}, {dates.format_time(local, 'short', locale=locale())}"
    return Markup('<time datetime="{}">{}</time>').format(value.astimezone(UTC).isoformat(), text)


def end_at(text: str) -> str:
    """Return an end that JSON holds."""
    return end(datetime.fromisoformat(text))


def end(value: datetime | None, otherwise: str = "never") -> str:
    """Return the moment at which something ends; of one at midnight, the last day before."""
    if value is not None and value.astimezone(ZoneInfo(timezone())).time() == time():
        return Markup("the end of {}").format(day(last_day(value, timezone())))
    return moment(value, otherwise)


def kept(given: object) -> str:
    """Return a value of the audit log, which JSON holds."""
    if isinstance(given, list):
        return ", ".join(map(kept, given))
    if isinstance(given, dict):
        return ", ".join(f"{word(name)} {kept(each)}" for name, each in given.items())
    if isinstance(given, str) and formats.rfc3339.fullmatch(given):
        return moment(datetime.fromisoformat(given))
    if isinstance(given, bool):
        return "yes" if given else "no"
    return nothing if given is None else str(given)


def values(
    before: Mapping[str, object] | None, after: Mapping[str, object] | None
) -> list[tuple[str, str, str]]:
    """Return what the audit log says of an action: names, values before and after."""
    old, new = before or {}, after or {}
    return [
        (word(name), kept(old[name]) if name in old else "", kept(new.get(name)))
        for name in {**old, **new}
        if old.get(name) not in without or new.get(name) not in without
    ]


def day(value: date) -> str:
    """Return a day."""
    return dates.format_date(value, "medium", locale())


def day_of(value: datetime | None, *, is_end: bool = False) -> str:
    """Return the day of a moment as forms hold it; of an end, the last day before it."""
    if value is None:
        return ""
    if is_end:
        return last_day(value, timezone()).isoformat()
    return value.astimezone(ZoneInfo(timezone())).date().isoformat()


def number(value: float | Decimal | None, otherwise: str = nothing) -> str:
    """Return a number with the locale's separators."""
    return otherwise if value is None else numbers.format_decimal(value, locale=locale())


def money(value: float | Decimal | None, currency: str | None, otherwise: str = nothing) -> str:
    """Return an amount of money, in a currency if it has one."""
    if value is None or currency is None:
        return number(value, otherwise)
    return numbers.format_currency(value, currency, locale=locale())


def sums(values: list[dict[str, Any]], otherwise: str = nothing) -> str:
    """Return sums of money, one for each currency."""
    found = [money(each["amount"], each["currency"]) for each in values]
    return " · ".join(found) or otherwise


def discount(thing: Any) -> str:
    """Return the discount of an offer, a voucher or a redemption."""
    read: Callable[[str], Any] = thing.get if isinstance(thing, dict) else partial(getattr, thing)
    if read("discount_type") == "percentage":
        share = read("discount") / 100
        return numbers.format_percent(share, locale=locale(), decimal_quantization=False)
    return money(read("discount"), read("currency"))


def reason(code: str) -> str:
    """Return the sentence that the API would say for a refusal."""
    return sentences().get(code, code.replace("_", " ").capitalize() + ".")


def word(name: str) -> str:
    """Return a name of the API as words: `voucher.disabled` is `voucher disabled`."""
    return name.replace("_", " ").replace(".", " ")


def _all_errors(base: type[VoucherPoolError]) -> dict[str, str]:
    found = {base.code(): base.detail} if hasattr(base, "detail") else {}
    for each in base.__subclasses__():
        found |= _all_errors(each)
    return found


@cache
def sentences() -> Mapping[str, str]:
    """Return what refusals and states mean, by their codes."""
    return _all_errors(VoucherPoolError) | {
        "voucher_not_found": "No voucher has this code, or it belongs to another customer.",
        "bound_to_another_customer": "The voucher belongs to another customer.",
        "redeemable": "It can be redeemed.",
    }
