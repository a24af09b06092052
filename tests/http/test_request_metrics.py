"""/metrics."""

import re
from collections.abc import Iterable

import pytest

from tests.builders import ana
from tests.server import Server, at_once, run_gunicorn


def number(text: str, name: str, labels: Iterable[str] = ()) -> float:
    """Return the sum of a metric over what has all of the labels."""
    found = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    return sum(float(value) for given, value in found if all(label in given for label in labels))


@pytest.fixture
def two_workers(database_url, key):
    """Return a gunicorn whose metrics begin at 0."""
    with run_gunicorn(database_url, workers=2) as port:
        yield Server(port, key)


def test_the_counts_of_all_workers_are_added_up(two_workers, make):
    codes = [make.voucher() for _ in range(20)]
    bodies = [{"code": code, "email": ana} for code in codes]
    for status in (201, 409):
        answers = at_once(20, lambda n: two_workers.post("/vouchers/validate", bodies[n])[0])
        assert answers == [status] * 20
    offer = {"email": ana, "offer_name": "KOI", "discount": 5, "expiry": "2100-01-01T00:00:00Z"}
    for _ in range(2):
        two_workers.post("/vouchers/generate", offer, Idempotency_Key="once")
    status, text = two_workers.send("/metrics", {}, "GET")
    text = text.decode()
    assert status == 200
    validate = 'route="/vouchers/validate"'
    seconds = "voucherpool_request_seconds_count"
    assert number(text, seconds, [validate, 'status="201"']) == 20
    assert number(text, seconds, [validate, 'status="409"']) == 20
    assert number(text, "voucherpool_redemptions_total") == 20
    assert number(text, "voucherpool_vouchers_issued_total") == 1
    refused = ['code="voucher_already_redeemed"']
    assert number(text, "voucherpool_refusals_total", refused) == 20
    assert number(text, "voucherpool_threads") == 2 * 4
    assert number(text, "voucherpool_requests_in_progress") == 1  # this one


def test_an_order_repeated_is_no_second_redemption(two_workers, make):
    body = {"code": make.voucher(max_redemptions=2), "email": ana, "order_ref": "order-1"}
    assert {two_workers.post("/vouchers/validate", body)[0] for _ in range(3)} == {201}
    _, text = two_workers.send("/metrics", {}, "GET")
    assert number(text.decode(), "voucherpool_redemptions_total") == 1


def test_an_unknown_address_or_method_makes_no_new_series(client):
    for number_ in range(3):
        client.get(f"/nowhere/{number_}")
        client.open("/livez", method=f"BREW{number_}")
    text = client.get("/metrics").text
    assert "nowhere" not in text
    assert "BREW" not in text
    assert number(text, "voucherpool_request_seconds_count", ['route="unknown"']) >= 3
