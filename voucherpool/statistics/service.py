"""Computes the statistics of one offer, and of all.

Redemptions come from the ledger's indexes and the archive's totals; issued and claimed vouchers
from the offers' counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import select, text

from voucherpool.database.model import db
from voucherpool.input.times import End, Moment
from voucherpool.offers import service as offers
from voucherpool.offers.models import Offer

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
    vouchers = Vouchers(*db.session.execute(vouchers_of, request).one())
    in_zone = {**request, "timezone": period.timezone}
    events = [Event(*row) for row in db.session.execute(events_of_offer, in_zone)]
    totals = _totals(events)
    budget = db.session.execute(budget_of, request).mappings().one_or_none()
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
    events = [Event(*row) for row in db.session.execute(events_of_all, request)]
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
    today, timezone = db.session.execute(clock).one()
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
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for currency, amount in amounts:
        sums[currency or ""] += amount
    return [
        {"currency": currency or None, "amount": amount}
        for currency, amount in sorted(sums.items())
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


clock = text("SELECT current_date, current_setting('TimeZone')")

# Each count uses its own index.
vouchers_of = text("""
    SELECT (SELECT count(*) FROM vouchers WHERE offer_id = :offer_id AND used_at IS NOT NULL)
            + coalesce(sum(used_up), 0)::bigint,
        (SELECT count(*) FROM vouchers
            WHERE offer_id = :offer_id AND used_at IS NULL AND expires_at <= now())
            + coalesce(sum(expired), 0)::bigint
    FROM archived_totals WHERE offer_id = :offer_id""")

_counted = """
    SELECT offer_id, 'redeemed' AS kind, day, currency, redeemed AS number, discounted AS amount,
        turnover
    FROM archived_totals WHERE {counted}
    UNION ALL SELECT offer_id, 'reversed', day, currency, reversed, given_back, turnover_given_back
    FROM archived_totals WHERE {counted}
    UNION ALL SELECT offer_id, 'issued', day, NULL, issued, 0, 0 FROM offer_counts WHERE {counted}
    UNION ALL SELECT offer_id, 'claimed', day, NULL, claimed, 0, 0
    FROM offer_counts WHERE {counted}"""

# By quarters of an hour first, because converting each moment to a date takes three times as long;
# midnight is at a quarter in every time zone.
events_of_offer = text(
    """
    WITH ledger AS (
        SELECT date_bin('15 minutes', redeemed_at, '2000-01-01Z') AS quarter, currency,
            count(*) AS number, sum(discount_amount) AS amount, sum(order_amount) AS turnover
        FROM redemptions WHERE offer_id = :offer_id GROUP BY 1, 2
    ), reversal AS (
        SELECT date_bin('15 minutes', reversed_at, '2000-01-01Z') AS quarter, currency,
            count(*) AS number, sum(discount_amount) AS amount, sum(order_amount) AS turnover
        FROM redemptions WHERE offer_id = :offer_id AND reversed_at IS NOT NULL GROUP BY 1, 2
    )
    SELECT :offer_id, 'redeemed', quarter::date, currency,
        sum(number)::bigint, coalesce(sum(amount), 0), coalesce(sum(turnover), 0)
    FROM ledger GROUP BY 3, 4
    UNION ALL SELECT :offer_id, 'reversed', quarter::date, currency,
        sum(number)::bigint, coalesce(sum(amount), 0), coalesce(sum(turnover), 0)
    FROM reversal GROUP BY 3, 4
    UNION ALL """
    + _counted.format(counted="offer_id = :offer_id")
)

# Of many offers, few redemptions share a quarter. The offers are named, for their indexes.
events_of_all = text(
    """
    WITH event AS (
        SELECT offer_id, 'redeemed' AS kind, redeemed_at::date AS day,
            currency, count(*) AS number, coalesce(sum(discount_amount), 0) AS amount,
            coalesce(sum(order_amount), 0) AS turnover
        FROM redemptions WHERE offer_id = ANY(:offers)
            AND redeemed_at >= :since AND redeemed_at < :until
        GROUP BY 1, 3, 4
        UNION ALL SELECT offer_id, 'reversed', reversed_at::date,
            currency, count(*), coalesce(sum(discount_amount), 0), coalesce(sum(order_amount), 0)
        FROM redemptions WHERE offer_id = ANY(:offers)
            AND reversed_at >= :since AND reversed_at < :until
        GROUP BY 1, 3, 4
        UNION ALL """
    + _counted.format(counted="day BETWEEN :first AND :last")
    + """
    )
    SELECT offer_id, kind, day, currency,
        sum(number)::bigint, sum(amount), sum(turnover)
    FROM event GROUP BY GROUPING SETS ((offer_id, kind, currency), (day, kind, currency))"""
)

budget_of = text("""
    WITH held AS (
        SELECT count(*) AS uses, coalesce(sum(amount), 0) AS amount
        FROM budget_holds WHERE offer_id = :offer_id AND held_until > now()
    )
    SELECT redemption_count, discount_total,
        CASE WHEN max_redemptions IS NOT NULL THEN
            greatest(0, max_redemptions - redemption_count - held.uses)
        END AS remaining_redemptions,
        CASE WHEN max_discount_total IS NOT NULL THEN
            greatest(0, max_discount_total - discount_total - held.amount)
        END AS remaining_discount_total
    FROM offer_budgets JOIN offers ON offers.id = offer_id, held
    WHERE offer_id = :offer_id AND redemption_count IS NOT NULL""")
