"""Replays, parking and deleting: many deliveries, page by page, beside all that goes on."""

from contextlib import contextmanager
from threading import Thread

import pytest
from sqlalchemy.exc import OperationalError

from tests.builders import end_connections
from voucherpool.database.transactions import transaction
from voucherpool.operations.worker import number_events
from voucherpool.webhooks import backlog
from voucherpool.webhooks.delivery import deliveries

page_size = 10
long_ago = {"since": "2000-01-01T00:00:00Z"}
locked = "wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(backlog, "page_size", page_size)


@pytest.fixture
def webhook(create, receiver):
    return f"/webhooks/{create(receiver.url)['id']}"


@pytest.fixture
def happened(sql):
    """Return a function that numbers so many events, some of them of another type."""

    def run(count, others=0):
        sql(
            "INSERT INTO numbered_events (id, type, data, created_at)"
            " SELECT gen_random_uuid(), CASE WHEN n <= :count THEN 'voucher.disabled' ELSE"
            " 'voucher.issued' END, '{}', now() FROM generate_series(1, :total) AS n"
            " ORDER BY n % 3, n",
            count=count,
            total=count + others,
        )

    return run


@pytest.fixture
def waiting(happened, sql):
    """Return a function that lets so many deliveries wait."""

    def run(count):
        happened(count)
        sql("INSERT INTO deliveries SELECT 1, number FROM numbered_events")

    return run


@pytest.fixture
def counts(sql):
    """Return a function that returns how many deliveries there are, by state."""
    return lambda: dict(
        tuple(row) for row in sql("SELECT state, count(*) FROM deliveries GROUP BY 1")
    )


@pytest.fixture
def page(app):
    """Return a function that runs a page of the backlog, and returns whether there was one."""

    def run(piece):
        with app.app_context():
            return piece()

    return run


@pytest.fixture
def deliver_all(sql):
    return lambda: sql(
        "UPDATE deliveries SET state = 'delivered', finished_at = now() WHERE state = 'waiting'"
    )


@pytest.fixture
def in_the_middle(page, gate):
    """Return a context in which a page waits for a lock that the statement holds."""

    @contextmanager
    def run(piece, statement):
        running = Thread(target=page, args=(piece,))
        with gate.closed(statement):
            running.start()
            gate.until_waiting(1)
            yield
        running.join()

    return run


def test_a_replay_is_answered_before_it_queues_anything_and_goes_on_in_bounded_pages(
    client, webhook, happened, page, counts, deliver_all
):
    happened(35, others=20)
    assert client.post(f"{webhook}/replay", json=long_ago).json == {"queued": 35}
    assert counts() == {}
    pages, queued = 0, 0
    while page(backlog.replay_some):
        pages += 1
        assert counts().get("waiting", 0) <= page_size
        deliver_all()
        assert 0 <= counts().get("delivered", 0) - queued <= page_size
        queued = counts().get("delivered", 0)
    assert (pages, queued) == (6, 35)


def test_events_are_numbered_while_a_page_of_a_replay_is_queued(
    client, webhook, waiting, deliver_all, in_the_middle, disable, app, sql, counts
):
    waiting(3)
    deliver_all()
    client.post(f"{webhook}/replay", json=long_ago)
    disable()
    finished = "UPDATE deliveries SET status = 200 WHERE event_number = 2"
    with in_the_middle(backlog.replay_some, finished), app.app_context():
        assert number_events()
        assert sql("SELECT webhook_id, state FROM deliveries WHERE event_number > 3") == [
            (1, "waiting")
        ]
    assert counts() == {"waiting": 4}


def test_a_replay_rests_while_a_page_is_due_so_that_new_events_are_sent_soon(
    client, webhook, happened, page, sql, counts, deliver_all
):
    happened(3 * page_size)
    client.post(f"{webhook}/replay", json=long_ago)
    assert page(backlog.replay_some)
    assert not page(backlog.replay_some)
    assert counts() == {"waiting": page_size}
    sql("UPDATE deliveries SET due_at = now() + interval '1 hour'")  # they have failed
    assert page(backlog.replay_some)
    assert counts() == {"waiting": 2 * page_size}
    deliver_all()
    assert page(backlog.replay_some)
    assert not page(backlog.replay_some)
    assert counts() == {"waiting": page_size, "delivered": 2 * page_size}


def test_a_page_whose_connection_is_lost_is_queued_by_the_next_attempt(
    app, client, webhook, waiting, deliver_all, gate, sql, counts
):
    waiting(15)
    deliver_all()
    client.post(f"{webhook}/replay", json=long_ago)
    lost = []

    def lose():
        with app.app_context():
            try:
                backlog.replay_some()
            except OperationalError as error:
                lost.append(error)

    running = Thread(target=lose)
    with gate.closed("UPDATE deliveries SET status = 200 WHERE event_number = 9"):
        running.start()
        gate.until_waiting(1)
        end_connections(sql, locked)
        running.join()
    assert len(lost) == 1
    assert counts() == {"delivered": 15}
    with app.app_context():
        assert backlog.replay_some()
    assert counts() == {"waiting": 10, "delivered": 5}


def test_a_second_replay_goes_back_to_the_earlier_place_and_up_to_the_last_event(
    client, webhook, happened, page, sql, deliver_all
):
    happened(15)
    [(middle,)] = sql("SELECT clock_timestamp()")
    happened(15)
    left = "SELECT next_number, last_number FROM replays"
    assert client.post(f"{webhook}/replay", json={"since": middle.isoformat()}).json["queued"] == 15
    assert sql(left) == [(16, 30)]
    page(backlog.replay_some)
    assert sql(left) == [(26, 30)]
    happened(5)
    client.post(f"{webhook}/replay", json=long_ago)
    assert sql(left) == [(1, 35)]
    deliver_all()
    page(backlog.replay_some)
    assert sql(left) == [(11, 35)]
    client.post(f"{webhook}/replay", json={"since": middle.isoformat()})
    assert sql(left) == [(11, 35)]


def test_what_happens_after_a_replay_was_asked_for_is_sent_once(
    client, webhook, happened, disable, deliver, receiver, counts
):
    happened(4)
    client.post(f"{webhook}/replay", json=long_ago)
    disable()
    deliver()
    assert len(receiver.all()) == 5
    assert counts() == {"delivered": 5}


def test_of_many_events_a_replay_counts_some_and_estimates_how_many_are_wanted(
    client, webhook, happened, sql, monkeypatch
):
    monkeypatch.setattr(backlog, "sample_size", 30)
    happened(10, others=20)
    assert client.post(f"{webhook}/replay", json=long_ago).json == {"queued": 10}
    happened(100, others=200)
    answer = client.post(f"{webhook}/replay", json=long_ago)
    assert answer.json == {"queued": 110}


def test_nothing_is_sent_to_a_webhook_until_all_that_waited_when_it_was_switched_off_is_parked(
    app, client, webhook, waiting, page, disable, deliver, deliverer, receiver, counts
):
    waiting(25)
    assert client.patch(webhook, json={"disabled": True}).status_code == 200
    assert counts() == {"waiting": 25}
    assert page(backlog.park_some)
    assert counts() == {"waiting": 15, "parked": 10}
    client.patch(webhook, json={"disabled": False})
    disable()
    with app.app_context():
        assert number_events()
        assert not deliverer.start_due()
        with transaction():
            assert deliveries.take(1) is None
    retried = app.test_cli_runner().invoke(args=["webhooks", "retry", "1"])
    assert retried.exit_code == 1
    assert "try again in a minute" in retried.output
    assert counts() == {"waiting": 16, "parked": 10}
    deliver()
    assert len(receiver.all()) == 1
    assert counts() == {"parked": 25, "delivered": 1}


def test_a_replay_that_is_asked_for_before_all_is_parked_sends_all(
    client, webhook, waiting, page, deliver, receiver, counts
):
    waiting(25)
    for disabled in (True, False):
        client.patch(webhook, json={"disabled": disabled})
    assert page(backlog.park_some)
    assert client.post(f"{webhook}/replay", json=long_ago).json == {"queued": 25}
    assert not page(backlog.replay_some)
    deliver()
    assert len(receiver.all()) == 25
    assert counts() == {"delivered": 25}


def test_switching_off_ends_a_replay(client, webhook, happened, page, deliver, receiver, counts):
    happened(25)
    client.post(f"{webhook}/replay", json=long_ago)
    assert page(backlog.replay_some)
    for disabled in (True, False):
        client.patch(webhook, json={"disabled": disabled})
    deliver()
    assert receiver.all() == []
    assert counts() == {"parked": page_size}


def test_events_are_numbered_while_a_page_is_parked_or_deleted(
    client, webhook, create, other_receiver, waiting, in_the_middle, disable, app, sql
):
    waiting(3)
    create(other_receiver.url)
    one = "UPDATE deliveries SET status = 500 WHERE webhook_id = 1 AND event_number = 2"
    client.patch(webhook, json={"disabled": True})
    for piece in (backlog.park_some, backlog.delete_some):
        disable()
        with in_the_middle(piece, one), app.app_context():
            assert number_events()
        client.delete(webhook)
    rows = sql("SELECT webhook_id, event_number, state FROM deliveries ORDER BY 2")
    assert rows == [(2, 4, "waiting"), (2, 5, "waiting")]


def test_a_deleted_webhook_loses_its_deliveries_page_by_page_and_is_gone_at_last(
    client, webhook, waiting, page, sql, counts
):
    waiting(25)
    client.delete(webhook)
    for left in (15, 5, 0):
        assert page(backlog.delete_some)
        assert counts().get("waiting", 0) == left
        assert not page(backlog.park_some)
    assert page(backlog.delete_some)
    assert sql("SELECT 1 FROM webhooks") == []
    assert not page(backlog.delete_some)
