"""Changes of many vouchers: each exactly once, whatever happens meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.builders import ana, ben, in_days
from tests.shop import outcome
from voucherpool.changes import changing
from voucherpool.operations import worker


def counts(change):
    return tuple(change[name] for name in ("state", "matched", "changed", "skipped"))


def codes_of(sql, batch_id):
    rows = sql("SELECT code FROM vouchers WHERE batch_id = :id ORDER BY issue_number", id=batch_id)
    return [row.code for row in rows]


@pytest.mark.usefixtures("small_pages")
def test_a_leaked_batch_is_disabled_and_no_other(batch, done, client, sql, make, audit):
    make.customer()
    leaked, other = batch(25), batch(3)
    change = done(leaked, disabled=True, reason="leaked on a forum")
    assert counts(change) == ("done", 25, 25, 0)
    assert (change["batch_id"], change["reason"]) == (leaked, "leaked on a forum")
    assert change["created_at"] <= change["started_at"] <= change["finished_at"]
    assert outcome(client.redeem(codes_of(sql, leaked)[7])) == (409, "voucher_disabled")
    assert client.redeem(codes_of(sql, other)[0]).status_code == 201
    assert counts(done(leaked, disabled=True, reason="again")) == ("done", 25, 0, 25)
    assert counts(done(leaked, disabled=False)) == ("done", 25, 25, 0)
    assert client.redeem(codes_of(sql, leaked)[7]).status_code == 201
    assert sql("SELECT count(*) FROM change_vouchers") == [(0,)]
    audit()


def test_an_offers_vouchers_get_another_expiry_or_none(batch, make, done, client, sql):
    batch(2)
    make.voucher(days=-3)
    other = make.voucher(offer="OTHER")
    change = done(expires_at="2199-01-01T00:00:00Z")
    assert counts(change) == ("done", 3, 3, 0)
    assert change["changes"] == {"expires_at": "2199-01-01T00:00:00+00:00"}
    assert client.get(f"/vouchers?email={ana}").json[-1]["expires_at"] == "2199-01-01T00:00:00Z"
    assert counts(done(expiry=None)) == ("done", 3, 3, 0)
    left = sql("SELECT code FROM vouchers WHERE expires_at < 'infinity'")
    assert left == [(other,)]


def test_days_are_added_to_each_expiry_once(batch, done, sql):
    sooner, later = batch(2, expiry=in_days(3)), batch(2, expiry=in_days(9))
    batch(1, expiry=None)
    query = "SELECT batch_id, expires_at FROM vouchers WHERE batch_id < 3 ORDER BY issue_number"
    before = sql(query)
    assert counts(done(expires_at={"add": "7d"})) == ("done", 5, 4, 1)
    assert sql(query) == [(id_, moment + timedelta(days=7)) for id_, moment in before]
    assert {sooner, later} == {row.batch_id for row in before}


def test_days_are_local_ones_where_the_clocks_change(app, batch, work, sql):
    from voucherpool.changes import service
    from voucherpool.database.transactions import transaction

    batch(1)
    # The end of 27 March in Berlin; the clocks change on the 28th.
    sql("UPDATE vouchers SET expires_at = '2027-03-27 23:00Z'")
    with app.app_context(), transaction():
        service.change_offer(1, expires_at=timedelta(days=1), timezone="Europe/Berlin")
    work()
    assert sql("SELECT expires_at FROM vouchers") == [(datetime(2027, 3, 28, 22, tzinfo=UTC),)]


def test_no_expiry_passes_the_last_moment_that_a_request_may_name(batch, done, sql):
    batch(1, expiry="2199-12-30T00:00:00Z")
    assert counts(done(expires_at={"add": "7d"})) == ("done", 1, 0, 1)
    change = done(expires_at={"add": "7d"}, disabled=True, reason="leaked")
    assert counts(change) == ("done", 1, 1, 0)
    assert sql("SELECT expires_at FROM vouchers") == [(datetime(2199, 12, 30, tzinfo=UTC),)]


@pytest.mark.parametrize(("only", "matched"), [("all", 4), ("unused", 3), ("unclaimed", 2)])
def test_it_may_be_about_unused_or_unclaimed_vouchers_only(
    batch, done, client, make, sql, only, matched
):
    make.customer()
    batch_id = batch(4)
    claimed = client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"}).json["code"]
    client.redeemed(next(code for code in codes_of(sql, batch_id) if code != claimed))
    change = done(batch_id, expires_at=in_days(99), only=only)
    assert counts(change) == ("done", matched, matched, 0)
    assert change["only"] == only


def test_a_dry_run_counts_and_changes_nothing(batch, done, client, sql):
    batch_id = batch(5)
    client.post("/vouchers/disable", json={"code": codes_of(sql, batch_id)[0]})
    change = done(batch_id, disabled=True, reason="leaked", dry_run=True)
    assert counts(change) == ("done", 5, 4, 1)
    assert sql("SELECT count(disabled_at) FROM vouchers") == [(1,)]
    assert counts(done(batch_id, disabled=True, reason="leaked")) == ("done", 5, 4, 1)


def test_what_is_used_or_issued_meanwhile_stays_as_it_is(app, batch, ask, work, client, make, sql):
    make.customer()
    batch_id = batch(3)
    change = ask(only="unused", expires_at=in_days(99))
    with app.app_context():
        assert worker.change_a_page()
    used = codes_of(sql, batch_id)[1]
    client.redeemed(used)
    new = make.voucher()
    work()
    assert counts(client.get(f"/changes/{change['id']}").json) == ("done", 3, 2, 1)
    stayed = sql("SELECT code FROM vouchers WHERE expires_at < now() + interval '90 days'")
    assert sorted(row.code for row in stayed) == sorted([used, new])


@pytest.mark.usefixtures("small_pages")
def test_a_cancelled_change_keeps_what_it_has_changed(app, batch, ask, work, client, sql, audit):
    batch_id = batch(25)
    change = ask(batch_id, disabled=True, reason="leaked")
    path = f"/changes/{change['id']}"
    with app.app_context():
        assert [worker.change_a_page() for _ in range(2)] == [True, True]
    assert counts(client.get(path).json) == ("running", 25, 10, 0)
    assert counts(client.post(f"{path}/cancel").json) == ("cancelled", 25, 10, 0)
    assert counts(client.post(f"{path}/cancel").json) == ("cancelled", 25, 10, 0)
    work()
    assert counts(client.get(path).json) == ("cancelled", 25, 10, 0)
    assert sql("SELECT count(disabled_at) FROM vouchers") == [(10,)]
    audit()


def test_a_finished_change_cannot_be_cancelled(batch, done, client):
    batch(1)
    change = done(expires_at=None)
    answer = client.post(f"/changes/{change['id']}/cancel")
    assert outcome(answer) == (409, "change_finished")


def test_a_batch_that_still_issues_is_refused_until_it_is_cancelled(app, batch, ask, client, sql):
    batch(1)
    running = client.post("/offers/1/batches", json={"count": 9, "expiry": None}).json["id"]
    change = {"disabled": True, "reason": "leaked"}
    answer = client.post(f"/batches/{running}/changes", json=change)
    assert outcome(answer) == (409, "batch_unfinished")
    assert client.post(f"/batches/{running}/cancel").json["state"] == "cancelled"
    assert ask(running, **change)["state"] == "pending"


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({}, "expiry"),
        ({"reason": "why"}, "expiry"),
        ({"disabled": True}, "reason"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expiry"),
        ({"expires_at": {"add": "7w"}}, "expires_at"),
        ({"expires_at": {"add": "7d", "more": 1}}, "expires_at"),
        ({"expiry": {"add": "0d"}}, "expiry"),
        ({"disabled": False, "only": "some"}, "only"),
    ],
)
def test_what_is_wrong_is_named(batch, client, terms, field):
    answer = client.post(f"/batches/{batch(1)}/changes", json=terms)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


def test_an_unknown_batch_offer_or_change_is_404(client):
    change = {"disabled": False}
    assert outcome(client.post("/batches/9/changes", json=change)) == (404, "batch_not_found")
    assert outcome(client.post("/offers/9/changes", json=change)) == (404, "offer_not_found")
    assert outcome(client.get("/changes/9")) == (404, "change_not_found")
    assert outcome(client.post("/changes/9/cancel")) == (404, "change_not_found")


def test_the_changes_of_an_offer_are_listed_the_oldest_first(batch, ask, client):
    batch_id = batch(1)
    made = [ask(disabled=False)["id"], ask(batch_id, expires_at=None)["id"]]
    page = client.get("/offers/1/changes?limit=1").json
    rest = client.get(f"/offers/1/changes?cursor={page['next']}").json
    assert [change["id"] for change in page["items"] + rest["items"]] == made


def test_each_voucher_that_is_disabled_is_an_event_if_somebody_asked(batch, done, client, sql):
    batch_id = batch(3)
    client.post("/vouchers/disable", json={"code": codes_of(sql, batch_id)[0]})
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('http://example.org', ARRAY['voucher.disabled'], '', now())"
    )
    done(batch_id, disabled=True, expires_at=None, reason="leaked")
    seen = sql("SELECT data->'voucher'->>'code' FROM events ORDER BY 1")
    assert [row[0] for row in seen] == sorted(codes_of(sql, batch_id)[1:])


def test_each_voucher_that_is_changed_is_an_event_if_somebody_asked(batch, done, client, sql):
    batch_id = batch(3)
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from) VALUES"
        " ('http://example.org', ARRAY['voucher.changed', 'voucher.disabled'], '', now())"
    )
    client.post("/vouchers/disable", json={"code": codes_of(sql, batch_id)[0]})
    done(batch_id, expires_at=None)
    done(batch_id, expires_at=None)
    done(batch_id, disabled=True, reason="leaked")
    done(batch_id, disabled=False)
    counted = sql("SELECT type, count(*) FROM events GROUP BY 1 ORDER BY 1")
    assert counted == [("voucher.changed", 6), ("voucher.disabled", 3)]


def test_a_permanent_error_fails_the_change_and_the_next_one_goes_on(
    batch, ask, work, client, monkeypatch
):
    batch(1)
    failing = ask(expires_at=None)["id"]
    real, others = changing._begin, []

    def fail(change):
        if change.id == failing:
            raise ZeroDivisionError
        others.append(change.id)
        real(change)

    monkeypatch.setattr(changing, "_begin", fail)
    other = ask(expires_at=None)["id"]
    work()
    failed = client.get(f"/changes/{failing}").json
    assert (failed["state"], failed["error"]) == ("failed", "ZeroDivisionError")
    assert client.get(f"/changes/{other}").json["state"] == "done"


def test_its_owner_keeps_a_hold_of_a_voucher_that_is_extended(batch, done, client, make, sql):
    make.customer(ben)
    [code] = codes_of(sql, batch(1))
    client.hold(code, ben)
    assert counts(done(expires_at={"add": "7d"})) == ("done", 1, 1, 0)
    assert client.redeem(code, ben).status_code == 201
