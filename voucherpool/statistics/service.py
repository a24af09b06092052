"""Computes an offer's statistics.

Redemptions come from the ledger's indexes and the archive's totals; issued and claimed vouchers
from the offer's counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text

from voucherpool.database.model import db
from voucherpool.offers import service as offers

shown_days = 90

Statistics = Mapping[str, object]


class Event(NamedTuple):
    """The number of one kind of event on a day in a currency, and its amount."""

    kind: str
    day: date
    currency: str | None
    number: int
    amount: Decimal


class Today(NamedTuple):
    """Today in UTC, and how many vouchers are used up and expired unused by now."""

    today: date
    used_up: int
    expired: int


def read(offer_id: int, since: date | None = None, until: date | None = None) -> Statistics:
    """Return the offer's statistics, in total and for each day with events, the newest first.

    Days are in UTC, by default the last 90. A voucher is open until it is used up or expired, even
    if disabled. `discounted` and `given_back` are sums by currency. Raises OfferNotFound.
    """
    request = {"offer_id": offers.read(offer_id).id}
    state = Today(*db.session.execute(state_of, request).one())
    events = [Event(*row) for row in db.session.execute(events_of, request)]
    last = until or state.today
    first = since or last - timedelta(days=shown_days - 1)
    counts = _counts(events)
    return {
        **counts,
        "discounted": _sums(event for event in events if event.kind == "redeemed"),
        "given_back": _sums(event for event in events if event.kind == "reversed"),
        "expired": state.expired,
        "open": counts["issued"] - state.used_up - state.expired,
        "days": _days(event for event in events if first <= event.day <= last),
    }


def _counts(events: Iterable[Event]) -> dict[str, int]:
    counts = dict.fromkeys(("issued", "claimed", "redeemed", "reversed"), 0)
    for event in events:
        counts[event.kind] += event.number
    return counts


def _sums(events: Iterable[Event]) -> list[dict[str, object]]:
    """Return the sum of each currency that has an amount; events without a currency use None."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for event in events:
        sums[event.currency or ""] += event.amount
    return [
        {"currency": currency or None, "amount": amount}
        for currency, amount in sorted(sums.items())
        if amount
    ]


def _days(events: Iterable[Event]) -> list[dict[str, object]]:
    by_day: dict[date, list[Event]] = defaultdict(list)
    for event in events:
        by_day[event.day].append(event)
    days = ({"day": day, **_counts(by_day[day])} for day in sorted(by_day, reverse=True))
    return [day for day in days if any(number for name, number in day.items() if name != "day")]


# Each count uses its own index.
state_of = text("""
    SELECT (now() AT TIME ZONE 'UTC')::date,
        (SELECT count(*) FROM vouchers WHERE offer_id = :offer_id AND used_at IS NOT NULL)
            + coalesce(sum(used_up), 0)::bigint,
        (SELECT count(*) FROM vouchers
            WHERE offer_id = :offer_id AND used_at IS NULL AND expires_at <= now())
            + coalesce(sum(expired), 0)::bigint
    FROM archived_totals WHERE offer_id = :offer_id""")

# date_bin, because converting each moment to a date takes three times as long.
events_of = text("""
    WITH ledger AS (
        SELECT date_bin('1 day', redeemed_at, '2000-01-01Z') AS day, currency,
            count(*) AS number, sum(discount_amount) AS amount
        FROM redemptions WHERE offer_id = :offer_id GROUP BY 1, 2
    ), reversal AS (
        SELECT date_bin('1 day', reversed_at, '2000-01-01Z') AS day, currency,
            count(*) AS number, sum(discount_amount) AS amount
        FROM redemptions WHERE offer_id = :offer_id AND reversed_at IS NOT NULL GROUP BY 1, 2
    )
    SELECT 'redeemed', (day AT TIME ZONE 'UTC')::date, currency, number, coalesce(amount, 0)
    FROM ledger
    UNION ALL SELECT 'reversed', (day AT TIME ZONE 'UTC')::date, currency, number,
        coalesce(amount, 0) FROM reversal
    UNION ALL SELECT 'redeemed', day, currency, redeemed, discounted
    FROM archived_totals WHERE offer_id = :offer_id
    UNION ALL SELECT 'reversed', day, currency, reversed, given_back
    FROM archived_totals WHERE offer_id = :offer_id
    UNION ALL SELECT 'issued', day, NULL, issued, 0 FROM offer_counts WHERE offer_id = :offer_id
    UNION ALL SELECT 'claimed', day, NULL, claimed, 0 FROM offer_counts WHERE offer_id = :offer_id
    """)
