"""Events on their way to receivers: signed, at least once, and each endpoint by itself."""

import logging
from datetime import UTC, datetime
from threading import Thread

import pytest
import standardwebhooks

from tests.builders import ana, end_connections
from tests.conftest import config
from tests.patience import most_seconds, until
from tests.server import at_once
from tests.webhooks.conftest import loopback, policy
from voucherpool import create_app
from voucherpool.database.model import db
from voucherpool.events import backoff
from voucherpool.operations.worker import number_events
from voucherpool.webhooks.delivery import deliveries
from voucherpool.webhooks.delivery.addresses import Policy
from voucherpool.webhooks.delivery.delivering import Deliverer


def test_an_event_arrives_signed_with_the_e_mail_of_today(
    create, receiver, disable, deliver, client, states
):
    webhook = create(receiver.url, "voucher.disabled", "voucher.redeemed")
    code = disable(email=ana)
    client.patch("/customers/1", json={"email": "anna@example.org"})
    deliver()
    [request] = receiver.all()
    message = request.verified(webhook["secret"])
    assert request.path == "/hook?token=t"
    assert request.headers["Content-Type"] == "application/json"
    assert message["type"] == "voucher.disabled"
    assert message["data"]["voucher"]["code"] == code
    assert message["data"]["email"] == "anna@example.org"
    [event] = client.get("/events").json["items"]
    shown = {"timestamp": event["created_at"], "number": event["number"], "data": event["data"]}
    assert message == {"type": event["type"], **shown}
    assert request.id == event["id"]
    assert states() == [("delivered", 1, 200, None)]


def test_a_forged_body_does_not_verify(create, receiver, disable, deliver):
    webhook = create(receiver.url)
    disable()
    deliver()
    request = receiver.next()
    request.body = request.body.replace(b"KOI", b"KOJ")
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        request.verified(webhook["secret"])


def test_only_the_types_that_a_webhook_asks_for_arrive(
    create, receiver, other_receiver, client, make, deliver
):
    create(receiver.url, "voucher.redeemed")
    create(other_receiver.url, "voucher.redeemed", "voucher.disabled")
    code = make.voucher(max_redemptions=2)
    assert client.redeem(code).status_code == 201
    client.post("/vouchers/disable", json={"code": code})
    deliver()
    assert (len(receiver.all()), len(other_receiver.all())) == (1, 2)


def test_both_secrets_sign_during_a_rotation_and_then_the_new_one_alone(
    create, receiver, disable, deliver, client, sql
):
    webhook = create(receiver.url)
    old = webhook["secret"]
    new = client.post(f"/webhooks/{webhook['id']}/rotate-secret").json["secret"]
    disable()
    deliver()
    request = receiver.next()
    for secret in (old, new):
        request.verified(secret)
    sql("UPDATE webhooks SET previous_until = now()")
    disable()
    deliver()
    request = receiver.next()
    request.verified(new)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        request.verified(old)


def test_a_failed_delivery_waits_and_is_sent_again_under_the_same_id(
    create, receiver, disable, deliver, states, due_now, sql
):
    create(receiver.url)
    receiver.statuses = [500, 302, 200]
    disable()
    for attempts, status, error in ((1, 500, "rejected"), (2, 302, "redirected")):
        deliver()
        assert states() == [("waiting", attempts, status, error)]
        [(waits, fails)] = sql(
            "SELECT extract(epoch FROM due_at - attempted_at), failing_since IS NOT NULL"
            " FROM deliveries, webhooks"
        )
        assert 0.7 < waits / backoff.pauses[attempts - 1] < 2
        assert fails
        due_now()
    deliver()
    assert states() == [("delivered", 3, 200, None)]
    assert sql("SELECT failing_since FROM webhooks") == [(None,)]
    assert len({request.id for request in receiver.all()}) == 1


def test_after_the_last_attempt_a_delivery_is_parked_and_can_be_sent_again(
    create, receiver, disable, deliver, states, due_now, sql, app
):
    create(receiver.url)
    receiver.statuses = [500, 200]
    disable()
    deliver()
    sql("UPDATE deliveries SET attempts = :most", most=len(backoff.pauses))
    receiver.statuses = [500, 200]
    due_now()
    deliver()
    assert states() == [("parked", len(backoff.pauses) + 1, 500, "rejected")]
    assert app.test_cli_runner().invoke(args=["webhooks", "retry", "1"]).exit_code == 0
    deliver()
    assert states() == [("delivered", 1, 200, None)]


def test_an_answer_with_a_chunk_of_negative_size_counts_by_its_status(
    create, receiver, disable, deliver, states, due_now, caplog
):
    create(receiver.url)
    receiver.headers, receiver.content = {"Transfer-Encoding": "chunked"}, b"-5\r\nabc"
    receiver.statuses = [500, 200]
    disable()
    deliver()
    assert states() == [("waiting", 1, 500, "rejected")]
    due_now()
    deliver()
    assert states() == [("delivered", 2, 200, None)]
    assert errors(caplog) == []


def errors(caplog):
    return [record.message for record in caplog.records if record.levelname == "ERROR"]


def test_a_bug_in_sending_is_a_failure_like_any_other_and_one_error_in_the_log(
    create, receiver, disable, deliver, deliverer, states, due_now, sql, caplog
):
    def resolve(host, port):
        raise ZeroDivisionError

    create(receiver.url)
    deliverer._policy = Policy((), resolve)
    disable()
    deliver()
    assert states() == [("waiting", 1, None, "internal_error")]
    [(waits, fails)] = sql(
        "SELECT extract(epoch FROM due_at - attempted_at), failing_since IS NOT NULL"
        " FROM deliveries, webhooks"
    )
    assert 0.7 < waits / backoff.pauses[0] < 2
    assert fails
    assert errors(caplog) == ["Sending event 1 to webhook 1 failed."]
    sql("UPDATE deliveries SET attempts = :most", most=len(backoff.pauses))
    due_now()
    deliver()
    assert states() == [("parked", len(backoff.pauses) + 1, None, "internal_error")]
    assert len(errors(caplog)) == 2
    deliverer._policy = policy
    disable()
    deliver()
    assert [state for state, *_ in states()] == ["parked", "delivered"]


locked = "wait_event_type = 'Lock' AND datname = current_database()"


def test_a_connection_that_is_lost_is_no_bug_and_the_outcome_is_recorded_all_the_same(
    create, receiver, disable, app, deliverer, states, sql, gate, caplog
):
    create(receiver.url)
    receiver.hangs = True
    disable()
    with app.app_context():
        number_events()
        deliverer.start_due()
    receiver.next()
    receiver.hangs = False
    with gate.closed("UPDATE deliveries SET state = state"):
        receiver.released.set()
        gate.until_waiting(1)
        end_connections(sql, locked)
        gate.until_waiting(1)
    deliverer.wait()
    assert states() == [("waiting", 1, None, "connection_failed")]
    assert errors(caplog) == []


def test_a_lock_that_is_not_got_in_time_is_a_warning(
    create, receiver, disable, database_url, gate, caplog
):
    options = f"{database_url.query['options']} -c lock_timeout=500ms"
    hasty = create_app(config(database_url.update_query_dict({"options": options})))
    deliverer = Deliverer(hasty.app_context, hasty.config["SECRET_KEYS"], policy)
    create(receiver.url)
    disable()
    with hasty.app_context():
        number_events()
        with gate.closed("UPDATE webhooks SET disabled_at = NULL WHERE id = 1"):
            receiver.statuses = [500]
            deliverer.start_due()
            deliverer.wait()
        deliverer.stop()
        db.engine.dispose()
    assert "Delivering to webhook 1 failed: the database cannot be used (LockNot" in caplog.text
    assert errors(caplog) == []


@pytest.fixture
def elsewhere(database_url, sql):
    """Return an application whose PostgreSQL is in Tokyo, with a clock that is a day ahead."""
    sql("CREATE SCHEMA ahead")
    sql(
        "CREATE FUNCTION ahead.now() RETURNS timestamptz STABLE LANGUAGE sql"
        " RETURN pg_catalog.now() + interval '1 day'"
    )
    options = r"-c timezone=Asia/Tokyo -c search_path=ahead,pg_catalog,public"
    app = create_app(config(database_url.update_query_dict({"options": options})))
    yield app
    with app.app_context():
        db.engine.dispose()
    sql("DROP SCHEMA ahead CASCADE")


@pytest.mark.one_machine("machines of a cluster do not share a search path")
def test_the_moment_that_is_signed_is_that_of_postgresqls_clock(
    create, receiver, disable, app, elsewhere, sql
):
    webhook = create(receiver.url)
    disable()
    with app.app_context():
        number_events()
    deliverer = Deliverer(elsewhere.app_context, app.config["SECRET_KEYS"], policy)
    with elsewhere.app_context():
        deliverer.start_due()
    deliverer.wait()
    request = receiver.next()
    [(attempted, is_ahead)] = sql(
        "SELECT CAST(floor(extract(epoch FROM attempted_at)) AS bigint),"
        " attempted_at > now() + interval '23 hours' FROM deliveries"
    )
    assert is_ahead
    assert request.headers["webhook-timestamp"] == str(attempted)
    moment = datetime.fromtimestamp(attempted, UTC)
    signed = standardwebhooks.Webhook(webhook["secret"])
    expected = signed.sign(request.id, moment, request.body.decode())
    assert request.headers["webhook-signature"] == expected


def test_an_endpoint_that_hangs_delays_no_other(
    create, receiver, other_receiver, disable, deliver, app, deliverer, states
):
    hanging, healthy = receiver, other_receiver
    hanging.hangs = True
    create(hanging.url)
    create(healthy.url)
    for _ in range(10):
        disable()
    running = Thread(target=deliver)
    running.start()
    held = [hanging.next() for _ in range(4)]
    received = [healthy.next() for _ in range(10)]
    # Nobody has released the hanging endpoint yet, and it holds no more senders than its own.
    assert not hanging.released.is_set()
    assert len(held) == 4
    with app.app_context():
        assert not deliverer.start_due()
    assert hanging.all() == []
    assert len({request.id for request in received}) == 10
    hanging.hangs = False
    hanging.released.set()
    running.join()
    assert [state for state, *_ in states()[10:]] == ["delivered"] * 10


@pytest.mark.parametrize("status", [410, 500])
def test_an_endpoint_that_is_gone_or_fails_for_five_days_is_switched_off(
    create, receiver, other_receiver, disable, deliver, client, states, sql, caplog, status
):
    webhook = create(receiver.url)
    create(other_receiver.url, "webhook.disabled")
    receiver.statuses = [status]
    if status == 500:
        sql("UPDATE webhooks SET failing_since = now() - interval '5 days 1 second' WHERE id = 1")
    disable()
    with caplog.at_level(logging.WARNING):
        deliver()
        sql("UPDATE deliveries SET due_at = now() WHERE state = 'waiting'")
        deliver()
    reason = "gone" if status == 410 else "failing"
    off = client.get(f"/webhooks/{webhook['id']}").json
    assert off["disabled_at"]
    assert off["disabled_reason"] == reason
    assert [state for state, *_ in states()] == ["parked", "delivered"]
    [fact] = other_receiver.all()
    assert b'"type":"webhook.disabled"' in fact.body
    assert f'"webhook":{{"id":{webhook["id"]},"reason":"{reason}"}}'.encode() in fact.body
    assert f"Webhook {webhook['id']} is disabled: {reason}." in caplog.text
    assert "token" not in caplog.text
    receiver.all()
    disable()
    deliver()
    assert receiver.all() == []


def test_an_endpoint_that_fails_for_less_than_five_days_stays_on(
    create, receiver, disable, deliver, sql
):
    create(receiver.url)
    receiver.statuses = [500]
    sql("UPDATE webhooks SET failing_since = now() - interval '4 days 23 hours'")
    disable()
    deliver()
    assert sql("SELECT disabled_at FROM webhooks") == [(None,)]


def test_switching_off_parks_what_waits_and_a_replay_sends_it(
    create, receiver, disable, deliver, client, states, app
):
    webhook = create(receiver.url)
    path = f"/webhooks/{webhook['id']}"
    receiver.statuses = [503]
    disable()
    deliver()
    for disabled in (True, False):
        client.patch(path, json={"disabled": disabled})
    receiver.statuses = [200]
    deliver()
    assert states() == [("parked", 1, 503, "rejected")]
    answer = client.post(f"{path}/replay", json={"since": "2020-01-01T00:00:00Z"})
    assert answer.json == {"queued": 1}
    deliver()
    first, again = receiver.all()
    assert first.id == again.id
    assert states() == [("delivered", 1, 200, None)]


def test_nothing_is_sent_about_a_customer_who_was_erased(
    create, receiver, disable, deliver, client, states, app
):
    create(receiver.url)
    receiver.statuses = [500]
    disable(email=ana)
    deliver()
    [attempt] = receiver.all()
    assert ana.encode() in attempt.body
    assert client.delete("/customers/1").status_code == 204
    app.test_cli_runner().invoke(args=["webhooks", "retry", "1", "1"])
    deliver()
    assert receiver.all() == []
    assert [state for state, *_ in states()] == ["cancelled"]


def test_a_secret_that_no_key_can_read_is_a_failure_and_sends_nothing(
    create, receiver, disable, deliver, states, sql
):
    create(receiver.url)
    sql("UPDATE webhooks SET secret = 'x'")
    disable()
    deliver()
    assert states() == [("waiting", 1, None, "secret_unreadable")]
    assert receiver.all() == []


def test_an_earlier_key_still_reads_secrets(create, receiver, disable, deliver, deliverer, app):
    webhook = create(receiver.url)
    newer = "HhwdGhsYGRYXFBUSExARDg8MDQoLCAkGBwQFAgMAAQI="
    deliverer._keys = (newer, *app.config["SECRET_KEYS"])
    disable()
    deliver()
    receiver.next().verified(webhook["secret"])


def test_a_stop_waits_until_what_is_being_sent_is_recorded(
    create, receiver, disable, app, deliverer, states, sql
):
    create(receiver.url)
    receiver.hangs = True
    for _ in range(9):
        disable()
    with app.app_context():
        number_events()
        deliverer.start_due()
    for _ in range(4):
        receiver.next()
    stopping = Thread(target=deliverer.stop)
    stopping.start()
    until(deliverer._stopping.is_set)
    receiver.hangs = False
    receiver.released.set()
    stopping.join(most_seconds)
    assert not stopping.is_alive()
    untouched, cut_off = ("waiting", 0, None, None), ("waiting", 1, None, "connection_failed")
    assert sorted(states(), key=str) == [untouched] * 5 + [cut_off] * 4
    with app.app_context():
        assert not deliverer.start_due()


def test_what_a_killed_worker_had_sent_is_sent_again_under_the_same_id(
    create, receiver, disable, voucherpool, deliver, sql, states
):
    webhook = create(receiver.url)
    receiver.hangs = True
    disable()
    worker = voucherpool("worker", VOUCHERPOOL_WEBHOOKS_ALLOW=str(loopback))
    first = receiver.next()
    worker.kill()
    worker.wait()
    assert states() == [("waiting", 1, None, None)]
    receiver.hangs = False
    receiver.released.set()
    assert sql("SELECT due_at - attempted_at FROM deliveries") == [(deliveries.lease,)]
    sql("UPDATE deliveries SET due_at = now()")  # the lease ends
    deliver()
    assert states() == [("delivered", 2, 200, None)]
    again = receiver.next()
    assert first.id == again.id
    assert first.verified(webhook["secret"]) == again.verified(webhook["secret"])


def test_two_deliverers_send_an_event_once(create, receiver, disable, app, states):
    create(receiver.url)
    for _ in range(30):
        disable()

    def work(_):
        deliverer = Deliverer(app.app_context, app.config["SECRET_KEYS"], policy)
        with app.app_context():
            while number_events():
                pass
            deliverer.start_due()
        deliverer.wait()

    at_once(2, work)
    assert states() == [("delivered", 1, 200, None)] * 30
    ids = [request.id for request in receiver.all()]
    assert len(ids) == len(set(ids)) == 30


def test_an_event_that_is_no_longer_kept_is_cancelled(
    create, receiver, disable, deliver, states, sql
):
    create(receiver.url)
    receiver.statuses = [500]
    disable()
    deliver()
    receiver.all()
    sql("DELETE FROM numbered_events")
    sql("UPDATE deliveries SET due_at = now()")
    deliver()
    assert receiver.all() == []
    assert [state for state, *_ in states()] == ["cancelled"]
