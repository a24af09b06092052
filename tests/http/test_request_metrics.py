"""/metrics."""

import re
import signal
from collections.abc import Iterable

import pytest

from tests.builders import ana
from tests.conftest import threads
from tests.patience import most_seconds, until
from tests.server import (
    Server,
    at_once,
    children,
    free_port,
    start_gunicorn,
    wait_until_listening,
)

validate = 'route="/vouchers/validate"'
requests = "voucherpool_request_seconds_count"


def number(text: str, name: str, labels: Iterable[str] = ()) -> float:
    """Return the sum of a metric over what has all of the labels."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for given, value in found if all(label in given for label in labels))


@pytest.fixture
def read(server):
    """Return a function that reads the metrics."""

    def read():
        status, metrics = server.send("/metrics", {}, "GET")
        assert status == 200
        return metrics.decode()

    return read


@pytest.fixture
def added(read):
    """Return a function that tells how much has come to a metric since the test began."""
    before = read()
    return lambda name, labels=(): number(read(), name, labels) - number(before, name, labels)


def test_the_counts_of_all_workers_are_added_up(server, added, make):
    codes = [make.voucher() for _ in range(20)]
    bodies = [{"code": code, "email": ana} for code in codes]
    for status in (201, 409):
        answers = at_once(20, lambda n: server.post("/vouchers/validate", bodies[n])[0])
        assert answers == [status] * 20
    offer = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": "2100-01-01T00:00:00Z"}
    for _ in range(2):
        server.post("/vouchers/generate", offer, Idempotency_Key="once")
    until(lambda: added(requests, [validate]) >= 40)  # each worker counts once a second
    assert added(requests, [validate, 'status="201"']) == 20
    assert added(requests, [validate, 'status="409"']) == 20
    assert added("voucherpool_redemptions_total") == 20
    assert added("voucherpool_vouchers_issued_total") == 1
    assert added("voucherpool_refusals_total", ['code="voucher_already_redeemed"']) == 20


def test_the_threads_of_all_workers_are_added_up_and_what_they_are_busy_with(read):
    until(lambda: number(read(), "voucherpool_requests_in_progress") == 1)  # that of the metrics
    assert number(read(), "voucherpool_threads") == 2 * threads


def test_an_order_repeated_is_no_second_redemption(server, added, make):
    body = {"code": make.voucher(max_redemptions=2), "email": ana, "order_ref": "order-1"}
    assert {server.post("/vouchers/validate", body)[0] for _ in range(3)} == {201}
    until(lambda: added(requests, [validate]) >= 3)
    assert added("voucherpool_redemptions_total") == 1


def test_a_worker_that_ends_counts_its_last_requests(database_url, key):
    port = free_port()
    process = start_gunicorn(database_url, port, WEB_CONCURRENCY="1")
    try:
        wait_until_listening(port, process)
        server = Server(port, key)
        for _ in range(5):
            server.send("/livez", {}, "GET")
        [first] = children(process.pid)
        process.send_signal(signal.SIGHUP)
        until(lambda: first not in children(process.pid))
        text = server.send("/metrics", {}, "GET")[1].decode()
    finally:
        process.terminate()
        process.wait(most_seconds)
    assert number(text, requests, ['route="/livez"']) == 5


def test_an_unknown_address_or_method_makes_no_new_series(client):
    for number_ in range(3):
        client.get(f"/nowhere/{number_}")
        client.open("/livez", method=f"BREW{number_}")
    text = client.get("/metrics").text
    assert "nowhere" not in text
    assert "BREW" not in text
    assert number(text, requests, ['route="unknown"']) >= 3
