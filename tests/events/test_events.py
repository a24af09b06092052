"""Events: written with what causes them, numbered once they are committed, listed in order."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from tests.builders import ana, ben, in_days
from tests.gate import any_voucher
from tests.patience import until
from tests.server import at_once, children
from voucherpool.batches import generating
from voucherpool.claims import low_pools as pools
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.events import event_types, numbering
from voucherpool.operations import worker
from voucherpool.support import service as support

listen = (
    "INSERT INTO webhooks (url, event_types, secret, active_from)"
    " VALUES ('http://example.org', CAST(:types AS text[]), '', clock_timestamp())"
    " RETURNING active_from"
)


@pytest.fixture
def listening(sql):
    """Return a function that makes a webhook for the types and returns when it is active."""

    def run(*types):
        return sql(listen, types=list(types or event_types.all_types))[0].active_from

    return run


@pytest.fixture
def happened(app, client):
    """Return a function that numbers the committed events and lists those after a number."""

    def run(after=0):
        with app.app_context():
            while worker.number_events():
                pass
        return client.get(f"/events?after={after}").json

    return run


def types(events):
    return [event["type"] for event in events["items"]]


def test_a_redemption_that_nobody_listens_for_writes_no_event(client, make, listening, sql):
    listening(event_types.issued)
    assert client.redeem(make.voucher()).status_code == 201
    assert sql("SELECT type FROM events") == [("voucher.issued",)]


def test_each_thing_that_happens_to_a_voucher_is_an_event(client, make, listening, happened):
    listening()
    make.customer()
    terms = {"email": None, "offer_name": "KOI", "discount": 22.1, "expiry": in_days(9)}
    client.post("/vouchers/generate", json=terms)
    code = client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"}).json["code"]
    redemption = client.redeem(code, order_ref="o").json["redemption_id"]
    client.post(f"/redemptions/{redemption}/reverse")
    client.post("/vouchers/disable", json={"code": code})
    client.post("/vouchers/enable", json={"code": code})
    client.post("/vouchers/change", json={"code": code, "max_redemptions": 3})
    client.post("/vouchers/change", json={"code": code, "disabled": True, "max_redemptions": 4})
    events = happened()
    assert types(events) == [
        "voucher.issued",
        "voucher.claimed",
        "voucher.redeemed",
        "redemption.reversed",
        "voucher.disabled",
        "voucher.changed",
        "voucher.changed",
        "voucher.disabled",
    ]
    assert events["items"][6]["data"]["voucher"]["max_redemptions"] == 3
    redeemed = events["items"][2]["data"]
    assert redeemed["email"] == ana
    assert redeemed["voucher"]["code"] == code
    assert (redeemed["voucher"]["redemption_count"], redeemed["voucher"]["discount"]) == (1, 22.1)
    assert (redeemed["redemption"]["id"], redeemed["redemption"]["order_ref"]) == (redemption, "o")
    assert events["items"][0]["data"]["email"] is None
    assert happened(events["next"]) == {"items": [], "next": events["next"]}


def test_what_repeats_or_is_refused_is_no_further_event(client, make, listening, happened):
    listening()
    code, order = make.voucher(), {"order_ref": "o"}
    for _ in range(2):
        assert client.redeem(code, **order).status_code == 201
    for _ in range(2):
        assert client.post("/redemptions/reverse", json=order).status_code == 200
        assert client.post("/vouchers/disable", json={"code": code}).status_code == 200
        assert client.post("/vouchers/change", json={"code": code, "max_redemptions": 1})
        assert client.redeem(code).status_code == 409
        claim = {"email": ana, "offer_name": "KOI"}
        assert client.post("/vouchers/claim", json=claim).status_code == 409
    assert sorted(types(happened())) == [
        "redemption.reversed",
        "voucher.disabled",
        "voucher.issued",
        "voucher.redeemed",
    ]


def test_reversing_twice_at_once_is_one_event(client, make, gate, listening, happened):
    listening()
    path = f"/redemptions/{client.redeem(make.voucher()).json['redemption_id']}/reverse"
    with ThreadPoolExecutor(2) as pool:
        with gate.closed(any_voucher):
            sent = [pool.submit(client.post, path) for _ in range(2)]
            gate.until_waiting(2)
        assert [answer.result().status_code for answer in sent] == [200, 200]
    assert types(happened()) == ["voucher.issued", "voucher.redeemed", "redemption.reversed"]


@pytest.mark.parametrize("opened", [transaction, long_transaction])
def test_an_event_is_committed_with_what_caused_it(app, make, listening, sql, opened):
    listening()
    code = make.voucher()
    with app.app_context(), opened():
        support.disable(code)
        assert sql("SELECT type FROM events") == [("voucher.issued",)]
    assert len(sql("SELECT type FROM events")) == 2


def test_an_event_rolls_back_with_what_caused_it(app, make, listening, sql):
    listening()
    code = make.voucher()

    def fail():
        with transaction():
            support.disable(code)
            raise ZeroDivisionError

    with app.app_context(), pytest.raises(ZeroDivisionError):
        fail()
    assert sql("SELECT type FROM events") == [("voucher.issued",)]


def test_a_batch_is_one_event_unless_its_vouchers_are_announced(app, client, listening, happened):
    listening()
    for email in (ana, ben):
        client.post("/customers", json={"email": email})
    offer = client.post("/offers", json={"name": "KOI", "discount": 5}).json["id"]
    body = {"expiry": in_days(9), "audience": "all_customers"}

    def generate(**more):
        client.post(f"/offers/{offer}/batches", json=body | more)
        with app.app_context():
            while worker.add_chunk_to_batch():
                pass

    generate()
    events = happened()
    assert types(events) == ["batch.finished"]
    assert events["items"][0]["data"]["batch"] == {
        "id": 1,
        "offer_id": offer,
        "requested": 2,
        "state": "done",
        "metadata": None,
    }
    generate(notify=True)
    issued = happened(events["next"])
    assert types(issued) == ["voucher.issued", "voucher.issued", "batch.finished"]
    assert sorted(event["data"]["email"] for event in issued["items"][:2]) == [ana, ben]


def test_a_batch_that_fails_is_an_event(app, client, listening, happened, monkeypatch):
    listening()
    offer = client.post("/offers", json={"name": "KOI", "discount": 5}).json["id"]
    client.post(f"/offers/{offer}/batches", json={"count": 1, "expiry": in_days(9)})
    monkeypatch.setattr(generating, "most_rounds", 0)
    with app.app_context():
        worker.add_chunk_to_batch()
    [event] = happened()["items"]
    assert (event["type"], event["data"]["batch"]["state"]) == ("batch.finished", "failed")


def test_a_pool_that_falls_below_its_mark_is_one_event(app, client, listening, happened):
    listening(event_types.pool_low)
    make_offer = {"name": "KOI", "discount": 5, "pool_low_at": 2}
    client.post("/offers", json=make_offer)
    client.post("/customers", json={"email": ana})

    def issue():
        terms = {"email": None, "offer_name": "KOI", "discount": 5, "expiry": in_days(9)}
        client.post("/vouchers/generate", json=terms)

    def claim():
        client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"})

    seen = []
    for step in (issue, issue, claim, claim, issue, issue, claim):
        step()
        with app.app_context(), transaction():
            pools.watch()
        seen.append(len(happened()["items"]))
    # It begins below its mark.
    assert seen == [1, 1, 2, 2, 2, 2, 3]


def test_only_what_a_claim_could_take_counts_for_the_mark(app, client, make, listening, happened):
    listening(event_types.pool_low)
    used, given_back, held, left = [
        [make.voucher(customer_id=None, max_redemptions=3) for _ in range(count)]
        for count in (4, 2, 1, 1)
    ]
    client.patch("/offers/1", json={"pool_low_at": 5})
    look(app)
    assert happened()["items"] == []
    for code in (*used, *given_back):
        client.redeemed(code, order_ref=code)
    for code in given_back:
        client.post("/redemptions/reverse", json={"order_ref": code})
    assert client.hold(*held).status_code == 201
    look(app)
    assert len(happened()["items"]) == 1
    assert [claim_of(client).json["code"] for _ in range(2)] == [*left, "pool_empty"]


def test_a_pool_is_watched_while_its_offer_is_active(app, client, make, listening, happened, sql):
    listening(event_types.pool_low)
    make.voucher(customer_id=None)
    client.patch("/offers/1", json={"pool_low_at": 1, "starts_at": in_days(1)})
    look(app)
    assert happened()["items"] == []  # nothing can be claimed, but nobody needs more vouchers
    sql("UPDATE offers SET starts_at = now() - interval '1 hour'")
    look(app)
    assert happened()["items"] == []
    assert claim_of(client).status_code == 201
    sql("UPDATE offers SET ends_at = now()")
    look(app)
    assert happened()["items"] == []
    sql("UPDATE offers SET ends_at = NULL")
    look(app)
    assert len(happened()["items"]) == 1


def look(app):
    with app.app_context(), transaction():
        pools.watch()


def claim_of(client):
    return client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"})


def test_a_reader_misses_no_event_and_waits_for_none(client, make, listening, happened, sql, app):
    listening()
    first, second, third = (make.voucher() for _ in range(3))
    after = happened()["next"]

    def disabled(code):
        return text(
            "INSERT INTO events (code_key, type, data) VALUES (:code, 'voucher.disabled', '{}')"
        ).bindparams(code=code)

    with app.app_context():
        engine = db.engine
    with engine.connect() as slow, engine.connect() as early:
        for connection, code in ((slow, first), (early, second)):
            connection.exec_driver_sql("BEGIN")
            connection.execute(disabled(code))
        client.post("/vouchers/disable", json={"code": third})
        seen = happened(after)
        assert len(seen["items"]) == 1
        early.exec_driver_sql("COMMIT")
        later = happened(seen["next"])
        assert len(later["items"]) == 1
        slow.exec_driver_sql("COMMIT")
    last = happened(later["next"])
    assert len(last["items"]) == 1
    everything = client.get(f"/events?after={after}").json
    assert everything["items"] == [*seen["items"], *later["items"], *last["items"]]
    assert sql("SELECT FROM events") == []


def test_workers_that_number_at_once_number_each_event_once(app, make, listening, sql):
    listening()
    for _ in range(20):
        make.voucher()

    def number(_):
        with app.app_context():
            while sql("SELECT FROM events LIMIT 1"):
                worker.number_events()

    at_once(4, number)
    assert sql("SELECT count(*), count(DISTINCT id) FROM numbered_events") == [(20, 20)]
    assert sql("SELECT count(*) FROM deliveries") == [(20,)]


def test_an_event_whose_original_was_not_deleted_is_not_numbered_again(app, make, listening, sql):
    listening()
    make.voucher()
    [row] = sql("SELECT to_jsonb(events)::text AS row FROM events")
    with app.app_context():
        worker.number_events()
    sql(
        "INSERT INTO events SELECT * FROM jsonb_populate_record(NULL::events, CAST(:r AS jsonb))",
        r=row.row,
    )
    with app.app_context():
        worker.number_events()
    assert sql("SELECT count(*) FROM numbered_events") == [(1,)]
    assert sql("SELECT count(*) FROM deliveries") == [(1,)]
    assert sql("SELECT FROM events") == []


def test_a_webhook_that_is_switched_off_meanwhile_gets_no_delivery(app, make, gate, listening, sql):
    listening()
    make.voucher()

    def number():
        with app.app_context():
            worker.number_events()

    numbering = Thread(target=number)
    with gate.closed("UPDATE webhooks SET disabled_at = now(), disabled_reason = 'requested'"):
        numbering.start()
        gate.until_waiting(1)
    numbering.join()
    assert sql("SELECT count(*) FROM numbered_events") == [(1,)]
    assert sql("SELECT FROM deliveries") == []


def test_old_events_are_forgotten_after_30_days(app, make, listening, happened, sql):
    listening()
    make.voucher()
    happened()
    sql("UPDATE numbered_events SET numbered_at = now() - interval '31 days'")
    make.voucher()
    happened()
    with app.app_context(), transaction():
        assert numbering.forget_old_events() == 1
    left = sql("SELECT numbered_at > now() - interval '30 days' FROM numbered_events")
    assert left == [(True,)]


def workers_of(port):
    """Return the worker processes of the gunicorn on a port."""
    for process in children(os.getpid()):
        if f"127.0.0.1:{port}" in Path(f"/proc/{process}/cmdline").read_text():
            return children(process)
    raise LookupError(port)


def test_a_webhook_gets_each_redemption_that_began_after_it_was_made(server, make, listening, sql):
    """One worker process sleeps while the webhook is made; half of the requests have a key."""
    codes = [make.voucher(max_redemptions=1_000_000) for _ in range(8)]
    stopped = []

    def redeem(number):
        turn = 0
        while not stopped:
            key = {"Idempotency_Key": f"{number}-{turn}"} if number % 2 else {}
            body = {"code": codes[number], "email": ana}
            assert server.post("/vouchers/validate", body, **key)[0] == 201
            turn += 1

    def redeemed():
        return sql("SELECT count(*) FROM redemptions WHERE redeemed_at > now() - interval '1 h'")

    threads = [Thread(target=redeem, args=(number,)) for number in range(len(codes))]
    for thread in threads:
        thread.start()
    sleeper, _ = workers_of(server.port)
    os.kill(sleeper, signal.SIGSTOP)
    listening(event_types.redeemed)
    [(made,)] = sql("SELECT clock_timestamp()")  # once it is committed: as an answer says it is
    os.kill(sleeper, signal.SIGCONT)
    [(before,)] = redeemed()
    until(lambda: redeemed()[0][0] > before + 100)
    stopped.append(True)
    for thread in threads:
        thread.join()
    later = "SELECT id FROM redemptions WHERE redeemed_at > :made"
    events = "SELECT CAST(data->'redemption'->>'id' AS uuid) FROM events"
    missed = sql(f"{later} AND id NOT IN ({events})", made=made)
    assert len(sql(later, made=made)) > 50
    assert missed == []
