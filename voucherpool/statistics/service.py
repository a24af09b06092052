"""Computes the statistics of one offer, and of all.

Redemptions come from the ledger's indexes and the archive's totals; issued and claimed vouchers
from the offers' counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import select

from voucherpool.database.model import db
from voucherpool.input.times import End, Moment
from voucherpool.offers import service as offers
from voucherpool.offers.models import Offer
from voucherpool.statistics import sums

shown_days = 90

Statistics = Mapping[str, object]


class Event(NamedTuple):
    """The number of one kind of event of an offer on a day in a currency, and its amounts.

    Without an offer it is that of all offers, and without a day that of all days.
    """

    offer_id: int | None
    kind: str
    day: date | None
    currency: str | None
    number: int
    discount_amount: Decimal
    order_amount: Decimal


class Vouchers(NamedTuple):
    """How many vouchers of an offer are used up and expired unused by now."""

    used_up: int
    expired: int


def read(offer_id: int, since: date | None = None, until: date | None = None) -> Statistics:
    """Return the offer's statistics, in total and for each day with events, the newest first.

    Days are the shop's, by default the last 90. A voucher is open until it is used up or expired,
    even if disabled. Sums of money are by currency. Raises OfferNotFound.
    """
    request = {"offer_id": offers.read(offer_id).id}
    period = _period(since, until)
    vouchers = Vouchers(*db.session.execute(sums.vouchers_of, request).one())
    events = [Event(*row) for row in db.session.execute(sums.events_of_offer, request)]
    totals = _totals(events)
    budget = db.session.execute(sums.budget_of, request).mappings().one_or_none()
    return {
        **totals,
        "expired": vouchers.expired,
        "open": _counts(events)["issued"] - vouchers.used_up - vouchers.expired,
        "budget": budget,
        "days": _days(
            {
                day: found
                for day, found in _by(events, "day").items()
                if period.first <= day <= period.last
            }
        ),
    }


def read_all(since: date | None = None, until: date | None = None) -> Statistics:
    """Return the statistics of all offers in a period: in total, by offer and by day.

    Days are the shop's, by default the last 90.
    """
    moments = _moments(_period(since, until))
    named = db.session.execute(select(Offer.id, Offer.name).order_by(Offer.id)).all()
    request = {**moments, "offers": [offer.id for offer in named]}
    events = [Event(*row) for row in db.session.execute(sums.events_of_all, request)]
    by_offer, by_day = _by(events, "offer_id"), _by(events, "day")
    of_offers = [
        {"offer_id": offer.id, "offer_name": offer.name, **_totals(by_offer[offer.id])}
        for offer in named
        if offer.id in by_offer
    ]
    totals = _totals(event for events in by_day.values() for event in events)
    return {**totals, "offers": of_offers, "days": _days(by_day)}


class Period(NamedTuple):
    """The first and the last day to show, in the time zone of the connection, the shop's."""

    first: date
    last: date
    timezone: str


def _period(since: date | None, until: date | None) -> Period:
    today, timezone = db.session.execute(sums.clock).one()
    last = until or max(today, since or date.min)
    return Period(since or last - timedelta(days=shown_days - 1), last, timezone)


def _moments(period: Period) -> dict[str, object]:
    """Return the statement's parameters for a period."""
    since = Moment.of(period.first, period.timezone)
    return {**period._asdict(), "since": since, "until": End.of(period.last, period.timezone)}


def _totals(events: Iterable[Event]) -> dict[str, object]:
    """Return the counts of events, and their sums of money."""
    found = list(events)
    redeemed = [event for event in found if event.kind == "redeemed"]
    reversed_ = [event for event in found if event.kind == "reversed"]
    return {
        **_counts(found),
        "discounted": _sums((event.currency, event.discount_amount) for event in redeemed),
        "given_back": _sums((event.currency, event.discount_amount) for event in reversed_),
        "turnover": _sums((event.currency, event.order_amount) for event in redeemed),
        "turnover_given_back": _sums((event.currency, event.order_amount) for event in reversed_),
    }


def _counts(events: Iterable[Event]) -> dict[str, int]:
    counts = dict.fromkeys(("issued", "claimed", "redeemed", "reversed"), 0)
    for event in events:
        counts[event.kind] += event.number
    return counts


def _sums(amounts: Iterable[tuple[str | None, Decimal]]) -> list[dict[str, object]]:
    """Return the sum of each currency that has an amount; events without a currency use None."""
    found: dict[str, Decimal] = defaultdict(Decimal)
    for currency, amount in amounts:
        found[currency or ""] += amount
    return [
        {"currency": currency or None, "amount": amount}
        for currency, amount in sorted(found.items())
        if amount
    ]


def _by(events: Iterable[Event], name: str) -> dict[Any, list[Event]]:
    """Return the events by their offer or day, without those that have none."""
    found: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        if (value := getattr(event, name)) is not None:
            found[value].append(event)
    return found


def _days(by_day: Mapping[date, list[Event]]) -> list[dict[str, object]]:
    return [
        {"day": day, **_totals(by_day[day])}
        for day in sorted(by_day, reverse=True)
        if any(_counts(by_day[day]).values())
    ]
