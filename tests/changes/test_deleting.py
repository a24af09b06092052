"""DELETE /batches/{id} and /offers/{id}: only what nobody ever used."""

import pytest

from tests.builders import ana, in_days
from tests.server import at_once
from tests.shop import outcome


def codes(sql, batch_id=1):
    return [row.code for row in sql("SELECT code FROM vouchers WHERE batch_id = :id", id=batch_id)]


def test_an_unused_batch_goes_with_its_vouchers_and_their_counts(batch, client, sql, make, audit):
    make.customer()
    batch_id, other = batch(3), batch(2)
    client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"})
    [code] = codes(sql, batch_id)[:1]
    client.check(code)
    assert client.delete(f"/batches/{batch_id}").status_code == 204
    assert sql("SELECT DISTINCT batch_id FROM vouchers") == [(other,)]
    assert outcome(client.get(f"/batches/{batch_id}")) == (404, "batch_not_found")
    assert outcome(client.redeem(code)) == (404, "voucher_not_found")
    statistics = client.get("/offers/1/stats").json
    assert (statistics["issued"], statistics["claimed"]) == (2, 0)
    assert outcome(client.delete(f"/batches/{batch_id}")) == (404, "batch_not_found")
    audit()


@pytest.mark.parametrize("use", ["redeem", "give back", "hold", "archive"])
def test_a_batch_that_was_used_stays(app, batch, client, sql, make, audit, use):
    make.customer()
    batch_id = batch(3)
    code = codes(sql, batch_id)[1]
    if use == "hold":
        client.hold(code)
    else:
        redemption = client.redeemed(code)["redemption_id"]
    if use == "give back":
        client.post(f"/redemptions/{redemption}/reverse")
    if use == "archive":
        make.older(100)
        app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
    assert outcome(client.delete(f"/batches/{batch_id}")) == (409, "batch_in_use")
    assert outcome(client.delete("/offers/1")) == (409, "offer_in_use")
    assert len(client.get("/offers/1/batches").json["items"]) == 1
    audit()


def test_a_batch_that_still_issues_is_cancelled_first(client):
    client.post("/offers", json={"name": "KOI", "discount": 10})
    client.post("/offers/1/batches", json={"count": 9, "expiry": None})
    assert outcome(client.delete("/batches/1")) == (409, "batch_unfinished")
    client.post("/batches/1/cancel")
    assert client.delete("/batches/1").status_code == 204


def test_an_unused_offer_goes_with_all_that_belongs_to_it(batch, done, client, sql, make, audit):
    batch(2)
    make.voucher()
    done(expires_at=None)
    client.patch("/offers/1", json={"max_redemptions": 9, "reminder_days": [3]})
    client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI", "claim_ref": "c-1"})
    kept = make.voucher(offer="OTHER")
    assert client.delete("/offers/1").status_code == 204
    assert [offer["name"] for offer in client.get("/offers").json["items"]] == ["OTHER"]
    assert client.listed() == [kept]
    assert outcome(client.delete("/offers/1")) == (404, "offer_not_found")
    audit()


def test_an_offer_of_a_schedule_stays(client):
    client.post("/offers", json={"name": "KOI", "discount": 10})
    schedule = {"name": "S", "offer_name": "KOI", "cron": "0 9 * * 1", "timezone": "UTC"}
    schedule |= {"audience": "pool", "count": 1, "valid_for": "7d"}
    made = client.post("/schedules", json=schedule).json["id"]
    assert outcome(client.delete("/offers/1")) == (409, "offer_in_use")
    client.delete(f"/schedules/{made}")
    assert client.delete("/offers/1").status_code == 204


def test_who_redeems_or_issues_while_an_offer_is_deleted_gets_all_or_nothing(
    server, make, client, sql, audit
):
    for round_ in range(3):
        name = f"offer {round_}"
        code = make.voucher(offer=name)
        [[offer_id]] = sql("SELECT id FROM offers WHERE name = :name", name=name)
        body = {"email": ana, "offer_name": name, "discount": 10, "expiry": in_days(1)}

        def call(number):
            if number == 0:
                return server.send(f"/offers/{offer_id}", {}, "DELETE")  # noqa: B023
            if number % 2:
                return server.post("/vouchers/redeem", {"code": code, "email": ana})  # noqa: B023
            return server.post("/vouchers/generate", body)  # noqa: B023

        statuses = [status for status, _ in at_once(8, call)]
        assert set(statuses) <= {201, 204, 404, 409}, statuses
        redeemed = any(status == 201 for status in statuses[1::2])
        assert (statuses[0] == 204) != redeemed
        assert not redeemed or sql("SELECT FROM offers WHERE id = :id", id=offer_id)
    audit()
