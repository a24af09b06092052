"""/metrics."""

import re
import signal
import time
from collections.abc import Iterable
from functools import cache

import pytest

from tests.builders import ana
from tests.gate import senders
from tests.server import Server, at_once, children, free_port, start_gunicorn, wait_until_listening


def number(text: str, name: str, labels: Iterable[str] = ()) -> float:
    """Return the sum of a metric over what has all of the labels."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for given, value in found if all(label in given for label in labels))


@pytest.fixture
def added(server):
    """Return a function that tells how much has come to a metric since the test began."""

    def read():
        status, metrics = server.send("/metrics", {}, "GET")
        assert status == 200
        return metrics.decode()

    @cache
    def after():
        time.sleep(1.5)  # each worker counts once a second
        return read()

    before = read()
    return lambda name, labels=(): number(after(), name, labels) - number(before, name, labels)


def test_the_counts_of_all_workers_are_added_up(server, added, make):
    codes = [make.voucher() for _ in range(20)]
    bodies = [{"code": code, "email": ana} for code in codes]
    for status in (201, 409):
        answers = at_once(20, lambda n: server.post("/vouchers/validate", bodies[n])[0])
        assert answers == [status] * 20
    offer = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": "2100-01-01T00:00:00Z"}
    for _ in range(2):
        server.post("/vouchers/generate", offer, Idempotency_Key="once")
    validate = 'route="/vouchers/validate"'
    seconds = "voucherpool_request_seconds_count"
    assert added(seconds, [validate, 'status="201"']) == 20
    assert added(seconds, [validate, 'status="409"']) == 20
    assert added("voucherpool_redemptions_total") == 20
    assert added("voucherpool_vouchers_issued_total") == 1
    assert added("voucherpool_refusals_total", ['code="voucher_already_redeemed"']) == 20


def test_the_threads_of_all_workers_are_added_up_and_what_they_are_busy_with(server):
    time.sleep(1.5)  # until the other worker has counted that it is idle
    text = server.send("/metrics", {}, "GET")[1].decode()
    assert number(text, "voucherpool_threads") == 2 * senders
    assert number(text, "voucherpool_requests_in_progress") == 1  # this one


def test_an_order_repeated_is_no_second_redemption(server, added, make):
    body = {"code": make.voucher(max_redemptions=2), "email": ana, "order_ref": "order-1"}
    assert {server.post("/vouchers/validate", body)[0] for _ in range(3)} == {201}
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
        while first in children(process.pid):
            time.sleep(0.05)
        text = server.send("/metrics", {}, "GET")[1].decode()
    finally:
        process.terminate()
        process.wait(15)
    assert number(text, "voucherpool_request_seconds_count", ['route="/livez"']) == 5


def test_an_unknown_address_or_method_makes_no_new_series(client):
    for number_ in range(3):
        client.get(f"/nowhere/{number_}")
        client.open("/livez", method=f"BREW{number_}")
    text = client.get("/metrics").text
    assert "nowhere" not in text
    assert "BREW" not in text
    assert number(text, "voucherpool_request_seconds_count", ['route="unknown"']) >= 3
