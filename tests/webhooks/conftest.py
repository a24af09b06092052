"""Receivers, and what delivers to them."""

from ipaddress import ip_network

import pytest

from tests.patience import until
from tests.webhooks.receiving import receiving
from voucherpool.events import backoff
from voucherpool.operations.worker import number_events
from voucherpool.webhooks import backlog
from voucherpool.webhooks.delivery import sending
from voucherpool.webhooks.delivery.addresses import Policy
from voucherpool.webhooks.delivery.delivering import Deliverer

loopback = ip_network("127.0.0.0/8")
policy = Policy((loopback,))


@pytest.fixture
def other_receiver():
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def allowed(app, monkeypatch):
    """Let webhooks lead to this machine."""
    monkeypatch.setitem(app.config, "WEBHOOKS_ALLOW", (loopback,))


@pytest.fixture
def create(client, allowed):
    """Return a function that creates a webhook, which hears at once, and returns the answer."""

    def run(url, *types):
        body = {"url": url, "event_types": types or ["voucher.disabled"]}
        answer = client.post("/webhooks", json=body)
        assert answer.status_code == 201, answer.json
        return answer.json

    return run


@pytest.fixture
def disable(client, make):
    """Return a function that disables a new voucher, which is an event, and returns its code."""

    def run(**terms):
        code = make.voucher(**terms)
        assert client.post("/vouchers/disable", json={"code": code}).status_code == 200
        return code

    return run


@pytest.fixture
def deliverer(app, monkeypatch):
    """Return what delivers, and after a failure pauses longer than any test takes."""
    monkeypatch.setattr(backoff, "pauses", tuple(1000 * pause for pause in backoff.pauses))
    deliverer = Deliverer(app.app_context, app.config["SECRET_KEYS"], policy)
    yield deliverer
    deliverer.stop()


@pytest.fixture
def in_background(app):
    """Return a function that does pages of the backlog until none is left; it returns how many."""

    def run():
        pages = 0
        with app.app_context():
            while any([backlog.park_some(), backlog.delete_some(), backlog.replay_some()]):
                pages += 1
        return pages

    return run


@pytest.fixture
def deliver(app, deliverer, in_background, sql):
    """Return a function that numbers and delivers until nothing is due or being sent."""
    busy = (
        "SELECT 1 FROM deliveries JOIN webhooks ON webhooks.id = webhook_id"
        " WHERE state = 'waiting' AND (due_at <= now() OR attempted_at > now() - interval '1 min'"
        " AND status IS NULL AND error IS NULL) AND disabled_at IS NULL"
    )

    def run():
        with app.app_context():
            while number_events():
                pass

        def is_idle():
            pages = in_background()
            with app.app_context():
                deliverer.start_due()
            return not pages and not sql(busy)

        until(is_idle)

    return run


@pytest.fixture
def states(sql):
    """Return a function that returns what became of the deliveries, in the order of events."""
    columns = "state, attempts, status, error"
    return lambda: [
        tuple(row)
        for row in sql(f"SELECT {columns} FROM deliveries ORDER BY webhook_id, event_number")
    ]


@pytest.fixture
def due_now(sql):
    """Return a function that lets the back-off of all deliveries end."""
    return lambda: sql("UPDATE deliveries SET due_at = now(), status = NULL, error = NULL")


@pytest.fixture
def hurry(monkeypatch):
    """Let an attempt take half a second at most."""
    monkeypatch.setattr(sending, "seconds_in_all", 0.5)
