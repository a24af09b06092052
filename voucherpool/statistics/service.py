"""Computes the statistics of one offer, and of all.

Redemptions come from the ledger's indexes and the archive's totals; issued and claimed vouchers
from the offers' counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select, text

from voucherpool.database.model import db
from voucherpool.offers import service as offers
from voucherpool.offers.models import Offer

shown_days = 90

Statistics = Mapping[str, object]


class Event(NamedTuple):
    """The number of one kind of event of an offer on a day in a currency, and its amounts."""

    offer_id: int
    kind: str
    day: date
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

    Days are in UTC, by default the last 90. A voucher is open until it is used up or expired, even
    if disabled. Sums of money are by currency. Raises OfferNotFound.
    """
    request = {"offer_id": offers.read(offer_id).id}
    first, last = _period(since, until)
    vouchers = Vouchers(*db.session.execute(vouchers_of, request).one())
    events = [Event(*row) for row in db.session.execute(events_of_offer, request)]
    totals = _totals(events)
    budget = db.session.execute(budget_of, request).mappings().one_or_none()
    return {
        **totals,
        "expired": vouchers.expired,
        "open": _counts(events)["issued"] - vouchers.used_up - vouchers.expired,
        "budget": budget,
        "days": _days(event for event in events if first <= event.day <= last),
    }


def read_all(since: date | None = None, until: date | None = None) -> Statistics:
    """Return the statistics of all offers in a period: in total, by offer and by day.

    Days are in UTC, by default the last 90.
    """
    first, last = _period(since, until)
    events = [Event(*row) for row in db.session.execute(events_of_all, _moments(first, last))]
    by_offer: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        by_offer[event.offer_id].append(event)
    named = select(Offer.id, Offer.name).where(Offer.id.in_(by_offer)).order_by(Offer.id)
    of_offers = [
        {"offer_id": offer.id, "offer_name": offer.name, **_totals(by_offer[offer.id])}
        for offer in db.session.execute(named)
    ]
    return {**_totals(events), "offers": of_offers, "days": _days(events)}


def _period(since: date | None, until: date | None) -> tuple[date, date]:
    """Return the first and the last day to show."""
    last = until or max(db.session.execute(today).scalar_one(), since or date.min)
    return since or last - timedelta(days=shown_days - 1), last


def _moments(first: date, last: date) -> dict[str, object]:
    """Return the statement's parameters for a period."""
    since = datetime.combine(first, time.min, UTC)
    until = datetime.combine(last, time.min, UTC) + timedelta(days=1)
    return {"first": first, "last": last, "since": since, "until": until}


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


def _days(events: Iterable[Event]) -> list[dict[str, object]]:
    by_day: dict[date, list[Event]] = defaultdict(list)
    for event in events:
        by_day[event.day].append(event)
    return [
        {"day": day, **_totals(by_day[day])}
        for day in sorted(by_day, reverse=True)
        if any(_counts(by_day[day]).values())
    ]


today = text("SELECT (now() AT TIME ZONE 'UTC')::date")

# Each count uses its own index.
vouchers_of = text("""
    SELECT (SELECT count(*) FROM vouchers WHERE offer_id = :offer_id AND used_at IS NOT NULL)
            + coalesce(sum(used_up), 0)::bigint,
        (SELECT count(*) FROM vouchers
            WHERE offer_id = :offer_id AND used_at IS NULL AND expires_at <= now())
            + coalesce(sum(expired), 0)::bigint
    FROM archived_totals WHERE offer_id = :offer_id""")

# date_bin, because converting each moment to a date takes three times as long.
_events = """
    WITH ledger AS (
        SELECT offer_id, date_bin('1 day', redeemed_at, '2000-01-01Z') AS day, currency,
            count(*) AS number, sum(discount_amount) AS amount, sum(order_amount) AS turnover
        FROM redemptions WHERE {redeemed} GROUP BY 1, 2, 3
    ), reversal AS (
        SELECT offer_id, date_bin('1 day', reversed_at, '2000-01-01Z') AS day, currency,
            count(*) AS number, sum(discount_amount) AS amount, sum(order_amount) AS turnover
        FROM redemptions WHERE {reversed} AND reversed_at IS NOT NULL GROUP BY 1, 2, 3
    )
    SELECT offer_id, 'redeemed', (day AT TIME ZONE 'UTC')::date, currency, number,
        coalesce(amount, 0), coalesce(turnover, 0) FROM ledger
    UNION ALL SELECT offer_id, 'reversed', (day AT TIME ZONE 'UTC')::date, currency, number,
        coalesce(amount, 0), coalesce(turnover, 0) FROM reversal
    UNION ALL SELECT offer_id, 'redeemed', day, currency, redeemed, discounted, turnover
    FROM archived_totals WHERE {counted}
    UNION ALL SELECT offer_id, 'reversed', day, currency, reversed, given_back, turnover_given_back
    FROM archived_totals WHERE {counted}
    UNION ALL SELECT offer_id, 'issued', day, NULL, issued, 0, 0 FROM offer_counts WHERE {counted}
    UNION ALL SELECT offer_id, 'claimed', day, NULL, claimed, 0, 0
    FROM offer_counts WHERE {counted}"""

events_of_offer = text(
    _events.format(**dict.fromkeys(("redeemed", "reversed", "counted"), "offer_id = :offer_id"))
)
events_of_all = text(
    _events.format(
        redeemed="redeemed_at >= :since AND redeemed_at < :until",
        reversed="reversed_at >= :since AND reversed_at < :until",
        counted="day BETWEEN :first AND :last",
    )
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
