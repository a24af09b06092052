"""/schedules: what they take, show and refuse."""

from datetime import UTC, datetime
from itertools import islice

import pytest

from tests.builders import ana, ben
from voucherpool.database.transactions import transaction
from voucherpool.schedules import occurrences, service


def refused(answer):
    assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
    return answer.json["errors"]


def outcome(answer):
    return answer.status_code, answer.json["code"]


def following(cron="0 9 * * 1", timezone="Europe/Berlin"):
    [found] = islice(occurrences.after(datetime.now(UTC), cron, timezone), 1)
    return found.isoformat().replace("+00:00", "Z")


def test_a_schedule_is_shown_as_it_was_made(client, ask):
    answer = ask()
    assert answer.status_code == 201
    made = answer.json
    moments = {name: made.pop(name) for name in ("created_at", "updated_at")}
    assert moments["created_at"] == moments["updated_at"]
    assert made == {
        "id": 1,
        "name": "Monday",
        "offer_name": "KOI",
        "cron": "0 9 * * 1",
        "timezone": "Europe/Berlin",
        "audience": "pool",
        "valid_for": "7d",
        "count": 1,
        "discount": None,
        "notify": False,
        "paused": False,
        "catch_up": "1d",
        "next_at": following(),
    }
    assert client.get("/schedules/1").json == made | moments
    assert client.get("/schedules").json == {"items": [made | moments], "next": None}


def test_schedules_are_listed_page_by_page(client, ask):
    for number in range(3):
        ask(name=f"{number}")
    first = client.get("/schedules?limit=2").json
    rest = client.get(f"/schedules?limit=2&cursor={first['next']}").json
    assert [each["name"] for each in first["items"] + rest["items"]] == ["0", "1", "2"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [("24h", "1d"), ("90m", "90m"), ("120m", "2h"), ("36h", "36h"), ("31d", "31d")],
)
def test_durations_are_answered_in_their_largest_unit(ask, given, shown):
    made = ask(valid_for=given, catch_up=given).json
    assert (made["valid_for"], made["catch_up"]) == (shown, shown)


def test_the_audience_is_shown_by_the_e_mails_of_today(client, ask, make, sql):
    for email in (ana, ben):
        make.customer(email)
    assert ask(audience=[ben, ana.upper()]).json["audience"] == [ana, ben]
    client.patch("/customers/1", json={"email": "new@example.org"})
    assert client.get("/schedules/1").json["audience"] == ["new@example.org", ben]
    assert (
        client.patch("/schedules/1", json={"audience": "all_customers"}).json["audience"]
        == "all_customers"
    )
    assert sql("SELECT customer_ids FROM schedules") == [([],)]


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", ["", " ", 1]),
        ("offer_name", ["", 1]),
        ("cron", ["@daily", "0 9 * *", "0 0 9 * * 1", "0 9 31 2 *", "61 * * * *", 1, "*" * 300]),
        ("timezone", ["Berlin", "europe/berlin", "../etc/passwd", "CET+1", "", 1]),
        ("audience", ["everyone", [], [1], ["nobody@example.org"], [ana] * 1001]),
        (
            "valid_for",
            ["0d", "7", "7 d", "1w", "1.5h", "-1d", "3651d", "P7D", "07d", 7, "٧d"],
        ),
        ("catch_up", ["0m", "32d", "745h", 1]),
        ("count", [0, 5_000_001, ...]),
        ("discount", [0, -1, 100.01, 22.123, "22%"]),
        ("notify", ["true", 1]),
        ("paused", ["true", 1]),
    ],
)
def test_a_wrong_field_is_422_and_named(client, ask, sql, field, wrong):
    for value in wrong:
        assert list(refused(ask(**{field: value}))) == [field], value
    assert sql("SELECT * FROM schedules") == []
    ask()
    for value in wrong:
        if value is not ...:
            changed = client.patch("/schedules/1", json={field: value})
            assert list(refused(changed)) == [field], value


def test_what_does_not_exist_is_404_and_a_name_that_does_is_409(client, ask):
    assert outcome(ask(offer_name="NEW")) == (404, "offer_not_found")
    assert ask().status_code == 201
    assert outcome(ask()) == (409, "schedule_exists")
    tuesday = f"/schedules/{ask(name='Tuesday').json['id']}"
    taken = client.patch(tuesday, json={"name": "Monday"})
    assert outcome(taken) == (409, "schedule_exists")
    assert outcome(client.patch(tuesday, json={"offer_name": "NEW"})) == (
        404,
        "offer_not_found",
    )
    for answer in (
        client.get("/schedules/9"),
        client.get("/schedules/9/runs"),
        client.patch("/schedules/9", json={}),
        client.delete("/schedules/9"),
    ):
        assert outcome(answer) == (404, "schedule_not_found")


def test_a_discount_must_fit_the_offer_that_the_schedule_has_then(client, ask):
    yen = {"name": "YEN", "discount": 500, "discount_type": "fixed_amount", "currency": "JPY"}
    client.post("/offers", json=yen)
    assert "decimals" in refused(ask(offer_name="YEN", discount=99.5))["discount"][0]
    assert ask(offer_name="YEN", discount=300).json["discount"] == 300
    moved = client.patch("/schedules/1", json={"offer_name": "KOI"})
    assert "at most 100" in refused(moved)["discount"][0]
    moved = client.patch("/schedules/1", json={"offer_name": "KOI", "discount": None})
    assert (moved.json["offer_name"], moved.json["discount"]) == ("KOI", None)


def test_a_pause_a_new_expression_and_a_new_time_zone_count_from_now(client, ask, due, sql):
    ask()

    def change(**changes):
        return client.patch("/schedules/1", json=changes).json["next_at"]

    assert change(paused=True) is None
    assert change(name="Still paused", cron="0 10 * * 1") is None
    assert change(paused=False) == following("0 10 * * 1")
    due("3 days")
    assert change(cron="0 11 * * 1") == following("0 11 * * 1")
    due("3 days")
    assert change(timezone="UTC") == following("0 11 * * 1", "UTC")


def test_another_change_forgets_nothing_that_was_missed(client, ask, due, sql):
    ask()
    due("1 hour")
    before = sql("SELECT next_at FROM schedules")
    for changes in ({"paused": False, "cron": "0 9 * * 1"}, {"name": "M", "count": 7}, {}):
        assert client.patch("/schedules/1", json=changes).status_code == 200
    assert sql("SELECT next_at FROM schedules") == before


def test_a_repeat_with_the_same_idempotency_key_makes_one_schedule(ask, sql):
    assert ask("key").data == ask("key").data
    assert sql("SELECT count(*) FROM schedules") == [(1,)]


def test_what_the_issue_shows_is_what_a_preview_answers(client):
    body = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "after": "2027-03-27T12:00:00Z"}
    found = client.post("/schedules/preview", json=body).json["occurrences"]
    assert len(found) == 10
    assert found[:3] == ["2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z", "2027-03-30T00:30:00Z"]
    del body["after"]
    assert client.post("/schedules/preview", json=body).json["occurrences"][0] == following(
        "30 2 * * *"
    )


def test_a_preview_of_leap_days_and_of_the_end_of_the_years_is_answered(client):
    body = {"cron": "0 0 29 2 */7", "timezone": "UTC", "after": "2124-12-31T23:59:59Z"}
    found = client.post("/schedules/preview", json=body).json["occurrences"]
    assert [each[:10] for each in found] == ["2128-02-29", "2156-02-29", "2184-02-29"]
    body["after"] = "2199-12-31T23:59:59Z"
    assert client.post("/schedules/preview", json=body).json == {"occurrences": []}
    body["cron"] = "0 0 31 2 *"
    assert list(refused(client.post("/schedules/preview", json=body))) == ["cron"]


def test_a_customer_who_is_forgotten_is_in_no_schedule(app, client, ask, make, sql):
    for email in (ana, ben):
        make.customer(email)
    ask("k1", audience=[ana, ben])
    ask(name="Other", audience=[ana])
    ask(name="All", audience="all_customers")
    with app.app_context(), transaction():
        service.forget(1)
    assert sql("SELECT customer_ids FROM schedules ORDER BY id") == [([2],), ([],), ([],)]
    assert client.get("/schedules/2").json["audience"] == []


def test_a_stored_answer_forgets_the_e_mail_of_an_erased_customer(client, ask, make, sql):
    for email in (ana, ben):
        make.customer(email)
    ask("key", audience=[ana, ben])
    assert client.delete("/customers/1").status_code == 204
    assert ana not in str(sql("TABLE idempotency_keys"))
    again = ask("key", audience=[ana, ben])
    assert (again.status_code, again.json["audience"]) == (201, [ben])
    assert client.get("/schedules/1").json["audience"] == [ben]


@pytest.mark.parametrize(
    ("cron", "told"),
    [
        ("0 24 * * *", "Wrong hour: must be 0 to 23."),
        ("61 * * * *", "Wrong minute: must be 0 to 59."),
        ("0 9 31 2 *", "Wrong day of month: must be one that the months have, 1 to 31."),
        ("0 9 * 13 *", "Wrong month: must be 1 to 12, or JAN."),
        ("0 9 * * 8", "Wrong day of week: must be 0 to 7, or MON."),
    ],
)
def test_a_wrong_field_of_an_expression_is_named(client, cron, told):
    body = {"cron": cron, "timezone": "UTC"}
    assert refused(client.post("/schedules/preview", json=body)) == {"cron": [told]}


def test_no_occurrence_is_answered_that_no_other_request_would_take(client):
    body = {"cron": "0 9 * * *", "timezone": "UTC", "after": "2199-12-29"}
    found = client.post("/schedules/preview", json=body).json["occurrences"]
    assert found == [f"2199-12-{day}T09:00:00Z" for day in (29, 30, 31)]
