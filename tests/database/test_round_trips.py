"""How often a request asks PostgreSQL."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.wire import tapped
from tests.builders import ana
from tests.conftest import config
from voucherpool import create_app
from voucherpool.apikeys import failed_attempts
from voucherpool.apikeys import service as apikeys
from voucherpool.database import statements
from voucherpool.database.model import db

memories = (
    (apikeys, "remembered_seconds"),
    (statements, "kept_seconds"),
    (failed_attempts, "renewed_after_seconds"),
)


@pytest.fixture
def asked(database_url, key, tmp_path_factory, monkeypatch):
    """Return a function that sends a request and returns its status and its round trips."""
    # However slow the requests are, all but the first find what is remembered for a second or so.
    for memory, seconds in memories:
        monkeypatch.setattr(memory, seconds, 3600)
    folder = database_url.query.get("host", "")
    if not str(folder).startswith("/"):
        pytest.skip("PostgreSQL is not reached by a Unix socket here")
    path = tmp_path_factory.mktemp("s")
    with tapped(Path(folder, ".s.PGSQL.5432"), path / ".s.PGSQL.5432") as answers:
        url = database_url.update_query_dict({"host": str(path)})
        app = create_app(replace(config(database_url), database_url=url))
        client = app.test_client()

        def ask(method, address, **request):
            before = answers.round_trips
            headers = {"Authorization": f"Bearer {key}", **request.pop("headers", {})}
            answer = client.open(address, method=method, headers=headers, **request)
            return answer.status_code, answers.round_trips - before

        yield ask
        with app.app_context():
            db.engine.dispose()


@pytest.mark.parametrize(
    ("types", "round_trips", "headers"),
    [
        ("voucher.issued", 1, {}),
        ("voucher.redeemed", 1, {}),
        ("voucher.redeemed", 3, {"Idempotency-Key": "{number}"}),
        ("voucher.issued", 3, {"Idempotency-Key": "{number}"}),
    ],
    ids=str,
)
def test_a_redemption_takes_one_round_trip_with_a_subscriber_too_and_three_with_a_key(
    asked, make, sql, types, round_trips, headers
):
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from)"
        " VALUES ('http://example.org', ARRAY[:types], '', now())",
        types=types,
    )
    seen = []
    for number in range(4):
        body = {"code": make.voucher(), "email": ana, "client_ref": f"visitor-{number}"}
        name = {header: value.format(number=number) for header, value in headers.items()}
        seen.append(asked("POST", "/vouchers/validate", json=body, headers=name))
    # The first also connects, looks the API key and the guesses up, and prepares.
    assert seen[1:] == [(201, round_trips)] * 3


def test_a_redemption_under_a_limit_per_customer_takes_three_round_trips(asked, make, sql):
    codes = [make.voucher() for _ in range(4)]
    sql("UPDATE offers SET max_redemptions_per_customer = 100")
    bodies = [{"code": code, "email": ana} for code in codes]
    seen = [asked("POST", "/vouchers/validate", json=body) for body in bodies]
    assert seen[1:] == [(201, 3)] * 3


def test_under_a_budget_a_redemption_takes_three_round_trips_and_a_hold_four(asked, client, make):
    codes = [make.voucher() for _ in range(4)]
    terms = {"max_redemptions": 100, "max_discount_total": 500, "currency": "EUR"}
    assert client.patch("/offers/1", json=terms).status_code == 200
    order = {"email": ana, "order_amount": 10, "currency": "EUR"}
    client.check(codes[0], **order)  # counts what was redeemed before the budget
    for path, expected in (("hold", 4), ("validate", 3)):
        bodies = [{"code": code, **order} for code in codes]
        seen = [asked("POST", f"/vouchers/{path}", json=body) for body in bodies]
        assert seen[1:] == [(201, expected)] * 3


def test_a_check_takes_one_round_trip_and_a_list_two(asked, make):
    body = {"code": make.voucher(), "email": ana}
    checks = [asked("POST", "/vouchers/check", json=body) for _ in range(3)]
    assert checks[1:] == [(200, 1)] * 2
    lists = [asked("GET", f"/vouchers?email={ana}") for _ in range(3)]
    assert lists[1:] == [(200, 2)] * 2
