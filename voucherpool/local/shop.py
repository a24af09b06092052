"""The demo's shop, which has used vouchers for 90 days: every page of the console shows something.

All of it is done by the API. Then it is moved into the past, which no API can do.
"""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import text

from voucherpool.local.client import Client

days = 90
of_the_seeds = [f"customer{number}@gmail.com" for number in range(10)]
names = ("Ada", "Bela", "Chen", "Dilek", "Emil", "Fatou", "Goran", "Hanna", "Ines", "Jonas")
people = [f"{name.lower()}@shop.example" for name in names]


class Campaign(NamedTuple):
    """An offer, its vouchers, and how many of them are redeemed."""

    offer: Mapping[str, object]
    batch: Mapping[str, object]
    redeemed: int


next_year = datetime.now(UTC).year + 1
expiry = f"{next_year}-12-31"
campaigns = (
    Campaign(
        {"name": "Summer sale", "discount": 20, "max_discount_total": 6000},
        {"count": 420, "code": {"prefix": "SUN"}},
        330,
    ),
    Campaign(
        {
            "name": "First order",
            "discount": 5,
            "discount_type": "fixed_amount",
            "min_order_amount": 25,
            "pool_low_at": 40,
        },
        {"count": 250},
        220,
    ),
    Campaign(
        {"name": "Friends and family", "discount": 15, "max_redemptions": 110},
        {"count": 120, "code": {"prefix": "FRIEND"}},
        96,
    ),
    Campaign(
        {"name": "Birthday", "discount": 10, "max_redemptions_per_customer": 40},
        {"audience": "all_customers", "count": 3},
        24,
    ),
)
every_so_many = 14
"""Of so many orders one is given back."""


def fill(client: Client, database: sqlalchemy.URL, timezone: str) -> None:
    """Let the service have been used for 90 days. Raises ClickException if it refuses."""
    chance = random.Random(90)  # noqa: S311 (the same shop each time)
    for name, email in zip(names, people, strict=True):
        client.make("/customers", {"email": email, "name": name})
    summer, *_ = [_run(client, campaign, chance) for campaign in campaigns]
    _automate(client, timezone)
    _support(client, summer)
    _move_into_the_past(database, chance)


def _run(client: Client, campaign: Campaign, chance: random.Random) -> Mapping[str, Any]:
    """Create an offer with its vouchers, redeem some, give some of these back; return the batch."""
    offer = client.make("/offers", {"currency": "EUR", **campaign.offer})
    batch = client.make(f"/offers/{offer['id']}/batches", {"expiry": expiry, **campaign.batch})
    client.wait_for(f"/batches/{batch['id']}")
    found = client.make("/vouchers/search", {"batch_id": batch["id"], "limit": 500})["items"]
    for number, voucher in enumerate(found[: campaign.redeemed]):
        order = f"{offer['id']}{number:04}"
        amount = f"{chance.randint(26, 140)}.{chance.choice(('00', '50', '90', '99'))}"
        terms = {"order_ref": order, "order_amount": amount, "currency": "EUR"}
        email = voucher["email"] or chance.choice(of_the_seeds + people)
        client.make("/vouchers/redeem", {"code": voucher["code"], "email": email, **terms})
        if number % every_so_many == every_so_many - 1:
            client.make("/redemptions/reverse", {"order_ref": order})
    return dict(batch)


def _automate(client: Client, timezone: str) -> None:
    """Create schedules, and a webhook whose endpoint does not answer."""
    every = {"timezone": timezone, "valid_for": "30d"}
    for name, offer, cron, audience in (
        ("Birthday of the month", "Birthday", "0 9 1 * *", {"audience": "all_customers"}),
        ("Fill the pool", "First order", "0 6 * * 1", {"audience": "pool", "count": 500}),
    ):
        client.make(
            "/schedules", {"name": name, "offer_name": offer, "cron": cron} | audience | every
        )
    types = ["voucher.redeemed", "redemption.reversed", "pool.low", "budget.low"]
    client.make("/webhooks", {"url": "http://127.0.0.1:9/vouchers", "event_types": types})


def _support(client: Client, batch: Mapping[str, Any]) -> None:
    """Do what support and marketing do, and try what is refused."""
    used, other = _codes(client, "Summer sale", "voucher_already_redeemed")[:2]
    free = _codes(client, "Summer sale", "redeemable")
    ada, bela = people[:2]
    for number, (code, email) in enumerate(((used, ada), (used, bela), (other, ada))):
        client.call(
            "POST", "/vouchers/redeem", {"code": code, "email": email, "order_ref": f"9{number}"}
        )
    stopped, extended, held = free[:3]
    client.make("/vouchers/disable", {"code": stopped, "reason": "It stood in a forum"})
    order = {"order_amount": 60, "currency": "EUR"}
    client.call("POST", "/vouchers/redeem", {"code": stopped, "email": bela, **order})
    longer = {"expires_at": f"{next_year + 1}-03-31", "reason": "The parcel came late"}
    client.make("/vouchers/change", {"code": extended, **longer})
    client.make("/vouchers/hold", {"code": held, "email": ada, "ttl_seconds": 86400, **order})
    client.call("PATCH", f"/offers/{batch['offer_id']}", {"discount": 25})
    week = {"expires_at": {"add": "7d"}, "only": "unused", "reason": "The printer was late"}
    change = client.make(f"/batches/{batch['id']}/changes", week)
    client.wait_for(f"/changes/{change['id']}")
    # These are the events that the webhook fails to deliver.
    for number, code in enumerate(free[3:6]):
        body = {"code": code, "email": ada, "order_ref": f"8{number}", **order}
        client.make("/vouchers/redeem", body)


def _codes(client: Client, offer: str, state: str) -> list[str]:
    found = client.make("/vouchers/search", {"offer_name": offer, "state": state, "limit": 20})
    return [voucher["code"] for voucher in found["items"]]


def _move_into_the_past(database: sqlalchemy.URL, chance: random.Random) -> None:
    """Spread the redemptions and the issued vouchers over the days, with more at weekends."""
    engine = sqlalchemy.create_engine(database)
    with engine.begin() as connection:
        ids = connection.scalars(text("SELECT id FROM redemptions ORDER BY order_ref")).all()
        ages = _ages(len(ids), chance)
        moved = [{"id": id_, "age": age} for id_, age in zip(ids, ages, strict=True)]
        connection.execute(move_redemption, moved)
        for statement in follow:
            connection.execute(text(statement), {"days": days})
    engine.dispose()


def _ages(count: int, chance: random.Random) -> list[float]:
    """Return how many days ago so many redemptions were."""
    today = datetime.now(UTC)
    weights = [
        (1.6 if (today - timedelta(days=ago)).weekday() in (5, 6) else 1)  # weekends
        * (3 if 38 <= ago <= 42 else 1)  # a newsletter
        * (1.6 - ago / days)  # the shop grows
        for ago in range(days - 1)
    ]
    return [ago + chance.random() for ago in chance.choices(range(days - 1), weights, k=count)]


move_redemption = text("""
    UPDATE redemptions SET redeemed_at = now() - make_interval(secs => :age * 86400),
        reversed_at = CASE WHEN reversed_at IS NOT NULL
            THEN now() - make_interval(secs => :age * 86400 * 0.9) END
    WHERE id = :id""")

follow = (
    """
    UPDATE vouchers SET used_at = redeemed_at FROM redemptions
    WHERE redemptions.code_key = vouchers.code_key AND used_at IS NOT NULL""",
    """
    UPDATE vouchers SET created_at = coalesce(
        (SELECT min(redeemed_at) FROM redemptions
            WHERE redemptions.code_key = vouchers.code_key) - interval '2 days',
        now() - make_interval(secs => (hashtext(code) & 1023) / 1024.0 * (:days - 1) * 86400))""",
    """
    UPDATE vouchers SET expires_at = now() - interval '3 days'
    WHERE redemption_count = 0 AND holds IS NULL AND disabled_at IS NULL
        AND hashtext(code) & 7 = 0""",
    "UPDATE batches SET created_at = created_at - make_interval(days => :days)",
    "DELETE FROM offer_counts",
    """
    INSERT INTO offer_counts (offer_id, day, slot, issued, claimed)
    SELECT offer_id, greatest(created_at::date, current_date - :days + 1), 0, count(*),
        count(claimed_at)
    FROM vouchers GROUP BY 1, 2""",
)
