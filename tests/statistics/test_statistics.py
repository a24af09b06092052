"""GET /offers/{id}/stats."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from tests import population
from tests.archive.test_archiving import moves
from tests.builders import ana, ben, in_days
from tests.claims.pools import body, fill
from tests.conftest import config
from tests.server import at_once
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.offers import counts
from voucherpool.statistics import service

nothing = {"issued": 0, "claimed": 0, "redeemed": 0, "reversed": 0}
no_money = {"discounted": [], "given_back": [], "turnover": [], "turnover_given_back": []}


def stats(client, offer_id=1, **query):
    answer = client.get(f"/offers/{offer_id}/stats", query_string=query)
    assert answer.status_code == 200, answer.json
    return answer.json


def shown(client, **wanted):
    """Return those of the offer's totals that are not 0."""
    return {name: number for name, number in stats(client).items() if number and name != "days"}


def test_an_offer_without_events_has_zeros(client):
    client.post("/offers", json={"name": "KOI", "discount": 10})
    assert stats(client) == {
        **nothing,
        **no_money,
        "expired": 0,
        "open": 0,
        "budget": None,
        "days": [],
    }


def test_an_unknown_offer_is_404(client):
    answer = client.get("/offers/1/stats")
    assert (answer.status_code, answer.json["code"]) == (404, "offer_not_found")


def test_every_write_counts_at_once(client, make, audit):
    code = make.voucher()
    assert shown(client) == {"issued": 1, "open": 1}
    redemption = client.redeemed(code, order_ref="A-1")
    assert shown(client) == {"issued": 1, "redeemed": 1}
    client.redeemed(code, order_ref="A-1")  # the same one, answered again
    client.redeem(code)  # refused
    assert shown(client) == {"issued": 1, "redeemed": 1}
    for _ in range(2):
        client.post(f"/redemptions/{redemption['redemption_id']}/reverse")
        assert shown(client) == {"issued": 1, "redeemed": 1, "reversed": 1, "open": 1}
    client.redeemed(code)
    assert shown(client) == {"issued": 1, "redeemed": 2, "reversed": 1}
    make.voucher(customer_id=None)
    client.post("/vouchers/claim", json=body())
    assert shown(client) == {
        "issued": 2,
        "claimed": 1,
        "redeemed": 2,
        "reversed": 1,
        "open": 1,
    }
    today = datetime.now(UTC).date().isoformat()
    [day] = stats(client)["days"]
    counts = {"issued": 2, "claimed": 1, "redeemed": 2, "reversed": 1}
    assert day == {**counts, **no_money, "day": today}
    audit()


def test_a_voucher_is_open_while_a_use_is_left_and_it_has_not_expired(client, make, sql, audit):
    code = make.voucher(max_redemptions=2)
    first = client.redeemed(code)
    assert shown(client) == {"issued": 1, "redeemed": 1, "open": 1}
    client.redeemed(code)
    assert shown(client) == {"issued": 1, "redeemed": 2}
    client.post(f"/redemptions/{first['redemption_id']}/reverse")
    assert shown(client) == {"issued": 1, "redeemed": 2, "reversed": 1, "open": 1}
    client.post("/vouchers/disable", json={"code": code})
    assert shown(client)["open"] == 1
    sql("UPDATE vouchers SET expires_at = now()")
    assert shown(client) == {"issued": 1, "redeemed": 2, "reversed": 1, "expired": 1}
    audit()


def test_a_used_up_voucher_does_not_expire(client, make, sql):
    client.redeemed(make.voucher())
    sql("UPDATE vouchers SET expires_at = now()")
    assert shown(client) == {"issued": 1, "redeemed": 1}


def test_money_is_summed_by_the_currency_of_the_redemption(client, make, sql, audit):
    first = client.redeemed(make.voucher(), order_ref="A-1", order_amount=80)
    assert first["discount_amount"] == 17.68
    client.redeemed(make.voucher())  # an order of an unknown amount
    euro = {"name": "TEN", "discount": 10, "discount_type": "fixed_amount", "currency": "EUR"}
    ten = client.post("/offers", json=euro).json["id"]
    new = {"email": ana, "offer_name": "TEN", "expiry": in_days(1)}
    for _ in range(2):
        code = client.post("/vouchers/generate", json=new).json["code"]
        redemption = client.redeemed(code, order_amount=7.5, currency="EUR")["redemption_id"]
    client.post(f"/redemptions/{redemption}/reverse")
    assert stats(client)["discounted"] == [{"currency": None, "amount": 17.68}]
    assert stats(client)["given_back"] == []
    of_ten = stats(client, ten)
    assert of_ten["discounted"] == [{"currency": "EUR", "amount": 15}]
    assert of_ten["given_back"] == [{"currency": "EUR", "amount": 7.5}]
    assert of_ten["turnover"] == [{"currency": "EUR", "amount": 15}]
    assert of_ten["turnover_given_back"] == [{"currency": "EUR", "amount": 7.5}]
    assert stats(client)["turnover"] == [{"currency": None, "amount": 80}]
    sql("UPDATE redemptions SET currency = 'CHF' WHERE offer_id = :ten", ten=ten)
    assert stats(client, ten)["discounted"] == [{"currency": "CHF", "amount": 15}]
    sql("UPDATE redemptions SET currency = 'EUR' WHERE offer_id = :ten", ten=ten)
    audit()


def test_the_statistics_of_all_offers_are_those_of_each_in_the_period(client, make, sql, app):
    for offer, amount in (("KOI", 10), ("KOI", 20), ("ORCA", 40)):
        first = client.redeemed(make.voucher(offer=offer), order_amount=amount, currency="EUR")
    client.post(f"/redemptions/{first['redemption_id']}/reverse")
    make.older(130)
    assert app.test_cli_runner().invoke(args=["vouchers", *moves]).exit_code == 0
    for offer, amount in (("KOI", 30), ("ORCA", 50)):
        client.redeemed(make.voucher(offer=offer), order_amount=amount, currency="EUR")
    make.voucher(offer="new"), sql("INSERT INTO offers (name, discount) VALUES ('idle', 5)")
    [[today]] = sql("SELECT (now() AT TIME ZONE 'UTC')::date")
    period = {"from": (today - timedelta(days=400)).isoformat()}
    each = {offer_id: stats(client, offer_id, **period) for offer_id in (1, 2, 3)}
    all_ = client.get("/stats", query_string=period).json
    assert [offer["offer_name"] for offer in all_["offers"]] == ["KOI", "ORCA", "new"]
    for offer in all_["offers"]:
        of_one = each[offer["offer_id"]]
        assert {name: of_one[name] for name in (*nothing, *no_money)}.items() <= offer.items()
    for name in nothing:
        assert all_[name] == sum(of_one[name] for of_one in each.values())
    assert all_["turnover"] == [{"currency": "EUR", "amount": 150}]
    assert all_["turnover_given_back"] == [{"currency": "EUR", "amount": 40}]
    assert [day["redeemed"] for day in all_["days"]] == [2, 3]
    recent = client.get("/stats").json
    assert (recent["redeemed"], recent["turnover"]) == (2, [{"currency": "EUR", "amount": 80}])
    assert [offer["redeemed"] for offer in recent["offers"]] == [1, 1, 0]


@pytest.mark.one_machine("reads the plans of one PostgreSQL")
def test_the_statistics_of_all_offers_read_no_more_of_the_ledger_than_their_days(app):
    with app.app_context():
        population.fill(20_000)
        day = db.session.scalar(text("SELECT current_date - 2"))
        plan = population.last_plan(lambda: service.read_all(day, day))
        population.require_indexes("statistics of all", plan)
        assert population.rows_read(plan) == service.read_all(day, day)["redeemed"] > 0


def test_the_days_of_a_month_sum_to_what_its_redemptions_say(client, make, sql):
    for number in range(6):
        amount = f"{number * 7}.{number}9"
        client.redeemed(make.voucher(), order_ref=f"o{number}", order_amount=amount, currency="EUR")
        earlier = f"redeemed_at AT TIME ZONE 'UTC' - interval '{number * 9} days'"
        moved = f"redeemed_at = ({earlier}) AT TIME ZONE 'UTC'"
        sql(f"UPDATE redemptions SET {moved} WHERE order_ref = 'o{number}'")
    client.post("/redemptions/reverse", json={"order_ref": "o1"})
    [(first, last)] = sql("SELECT (now() - interval '30 days')::date, now()::date")
    period = {"from": first.isoformat(), "to": last.isoformat()}
    [expected] = sql(
        "SELECT count(*), sum(discount_amount), sum(order_amount),"
        " sum(discount_amount) FILTER (WHERE reversed_at IS NOT NULL)"
        " FROM redemptions WHERE redeemed_at >= CAST(:first AS date)",
        first=first,
    )
    for answer in (client.get("/stats", query_string=period).json, stats(client, **period)):
        days = answer["days"]

        def total(name):
            return sum(Decimal(str(sum_["amount"])) for day in days for sum_ in day[name])  # noqa: B023

        redeemed = sum(day["redeemed"] for day in days)
        assert (redeemed, total("discounted"), total("turnover"), total("given_back")) == expected


def test_what_is_left_of_a_budget_is_shown(client, make):
    codes = [make.voucher(), make.voucher()]
    client.redeemed(codes[0], order_amount=100, currency="EUR")
    terms = {"max_discount_total": 60, "currency": "EUR"}
    assert client.patch("/offers/1", json=terms).status_code == 200
    assert stats(client)["budget"] is None  # nobody has counted yet
    client.hold(codes[1], order_amount=10, currency="EUR")
    budget = {"redemption_count": 1, "discount_total": 0, "remaining_redemptions": None}
    assert stats(client)["budget"] == budget | {
        "discount_total": 22.1,
        "remaining_discount_total": 35.69,
    }


def test_an_order_of_several_offers_is_given_back_to_each(client, make, audit):
    for offer in ("KOI", "KOI", "ORCA"):
        client.redeemed(make.voucher(offer=offer), order_ref="A-1")
    client.post("/redemptions/reverse", json={"order_ref": "A-1"})
    assert [stats(client, offer_id)["reversed"] for offer_id in (1, 2)] == [2, 1]
    audit()


def test_a_refused_or_failed_issue_counts_nothing(client, make, sql, audit):
    make.voucher()
    new = {"email": ben, "offer_name": "KOI", "discount": 5, "expiry": in_days(1), "code": "SUMMER"}
    assert client.post("/vouchers/generate", json=new).status_code == 404
    for status in (201, 409):
        answer = client.post("/vouchers/generate", json=new | {"email": ana})
        assert answer.status_code == status
    assert shown(client) == {"issued": 2, "open": 2}
    audit()


def test_the_days_come_newest_first_the_last_90_or_those_asked_for(client, make, sql):
    make.voucher()
    [[today]] = sql("SELECT (now() AT TIME ZONE 'UTC')::date")
    for ago in (1, 89, 90, 400):
        sql(
            "INSERT INTO offer_counts (offer_id, day, slot, issued) VALUES (1, :day, 3, :ago)",
            day=today - timedelta(days=ago),
            ago=ago,
        )

    def days(**query):
        answer = stats(client, **query)
        assert answer["issued"] == 581
        return [day["issued"] for day in answer["days"]]

    def ago(number):
        return (today - timedelta(days=number)).isoformat()

    assert days() == [1, 1, 89]
    assert days(**{"from": ago(90)}) == [1, 1, 89, 90]
    assert days(to=ago(1)) == [1, 89, 90]
    assert days(**{"from": ago(400), "to": ago(90)}) == [90, 400]
    assert days(**{"from": ago(-1)}) == []


def test_wrong_days_are_422_and_named(client, make):
    make.voucher()
    wrong = ["", "x", "2026-13-01", "2026-02-30", "20260101", "1999-01-01", "２０２６-01-01"]
    for name in ("from", "to"):
        for value in wrong:
            answer = client.get("/offers/1/stats", query_string={name: value})
            assert (answer.status_code, list(answer.json["errors"])) == (422, [name]), value
    for path in ("/offers/1/stats", "/stats"):
        answer = client.get(f"{path}?from=2026-02-01&to=2026-01-31")
        assert (answer.status_code, answer.json["errors"]) == (
            422,
            {"to": ["Must not be before from."]},
        )


def test_bulk_work_counts_what_it_adds(client, app, make):
    make.voucher()
    with app.app_context():
        for _ in range(2):
            with transaction():
                counts.count_issued(1, 10)
    assert shown(client) == {"issued": 21, "open": 21}


def test_nothing_is_miscounted_under_concurrency(server, client, make, sql, audit):
    make.customer()
    fill(sql, 40)

    def live(number):
        random = Random(number)  # noqa: S311
        done = {"issued": 0, "claimed": 0, "redeemed": 0, "reversed": 0}
        new = {"email": ana, "offer_name": "KOI", "expiry": in_days(1)}
        for _ in range(4):
            issues = random.random() < 0.5
            status, voucher = server.post(
                *(("/vouchers/generate", new), ("/vouchers/claim", body()))[not issues]
            )
            assert status == 201
            done["issued" if issues else "claimed"] += 1
            redeemed = server.redeem(voucher["code"])[1]
            done["redeemed"] += 1
            if random.random() < 0.5:
                server.post(f"/redemptions/{redeemed['redemption_id']}/reverse", {})
                done["reversed"] += 1
        return done

    each = at_once(10, live)
    expected = {name: sum(done[name] for done in each) for name in nothing}
    counted = stats(client)
    assert {name: counted[name] for name in nothing} == expected | {
        "issued": expected["issued"] + 40
    }
    assert counted["open"] == counted["issued"] - expected["redeemed"] + expected["reversed"]
    audit()


@pytest.fixture
def in_zone(database_url, key):
    """Return a function that returns a client of a shop in a time zone."""
    apps = []

    def run(timezone):
        app = create_app(replace(config(database_url), timezone=timezone))
        apps.append(app)
        return open_shop(app, key)

    yield run
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.mark.one_machine("sets the time zone of its own connections")
@pytest.mark.parametrize(
    ("timezone", "days"),
    [
        ("UTC", ["2030-03-31"]),
        ("Europe/Berlin", ["2030-04-01", "2030-03-31"]),  # 22:00 and 23:30 in UTC, in summer time
        ("Asia/Kathmandu", ["2030-04-01"]),  # 5:45 ahead
    ],
)
def test_days_are_those_of_the_shop_before_and_after_the_archive(
    app, make, sql, audit, in_zone, timezone, days
):
    codes = [make.voucher(days=-100) for _ in range(2)]
    sql("UPDATE vouchers SET redemption_count = 1, used_at = now() - interval '200 days'")
    for code, moment in zip(codes, ("21:59:59", "23:30"), strict=True):
        sql(
            "INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type,"
            f" redeemed_at) SELECT code_key, 1, 1, 5, 'percentage', '2030-03-31T{moment}Z'"
            " FROM vouchers WHERE code = :code",
            code=code,
        )
    shop = in_zone(timezone)

    def shown():
        counted = stats(shop, **{"from": "2030-01-01", "to": "2030-12-31"})["days"]
        return [day["day"] for day in counted if day["redeemed"]]

    assert shown() == days
    shop.application.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
    assert sql("SELECT * FROM vouchers") == []
    assert shown() == days
    audit()


@pytest.mark.one_machine("sets the time zone of its own connections")
def test_what_is_issued_counts_on_the_day_of_the_shop(in_zone, make, sql):
    make.voucher()
    zones = ("Pacific/Kiritimati", "Pacific/Niue")  # 25 hours apart: never the same day
    for timezone in zones:
        terms = {"email": ana, "offer_name": "KOI", "discount": 22.1, "expiry": in_days(1)}
        assert in_zone(timezone).post("/vouchers/generate", json=terms).status_code == 201
    days = {row.day for row in sql("SELECT day FROM offer_counts")}
    assert {datetime.now(ZoneInfo(timezone)).date() for timezone in zones} <= days


@pytest.mark.one_machine("sets the time zone of its own connections")
def test_a_plain_day_in_a_request_is_a_day_of_the_shop(in_zone, make, sql):
    make.customer(ana)
    shop = in_zone("Europe/Berlin")
    window = {"starts_at": "2030-03-31", "ends_at": "2030-03-31"}
    offer = shop.post("/offers", json={"name": "KOI", "discount": 5, **window}).json
    assert (offer["starts_at"], offer["ends_at"]) == (
        "2030-03-30T23:00:00Z",
        "2030-03-31T22:00:00Z",
    )
    terms = {"email": ana, "offer_name": "KOI", "expires_at": "2030-12-31"}
    assert shop.post("/vouchers/generate", json=terms).status_code == 201
    file = "code,expires_at\nSUMMER-1,2030-12-31\nSUMMER-2,31.12.2030\n"
    shop.post("/offers/1/imports", data=file, content_type="text/csv")
    run = shop.application.test_cli_runner().invoke
    run(args=["vouchers", "issue", "KOI", "--count", "1", "--expiry", "2030-12-31"])
    moments = [row.expires_at.isoformat() for row in sql("SELECT expires_at FROM vouchers")]
    assert moments == ["2030-12-31T23:00:00+00:00"] * 4
    other = "?expiry=2030-12-31&timezone=America/New_York"
    shop.post(f"/offers/1/imports{other}", data="code\nSUMMER-3\n", content_type="text/csv")
    [row] = sql("SELECT expires_at FROM vouchers WHERE code = 'SUMMER-3'")
    assert row.expires_at.isoformat() == "2031-01-01T05:00:00+00:00"
