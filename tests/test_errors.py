"""Errors: one shape, one place."""

import re

import pytest

from tests.builders import ana, in_days
from voucherpool import create_app, errors
from voucherpool.config.settings import Config
from voucherpool.database import retries


def all_errors(base=errors.VoucherPoolError):
    for error in base.__subclasses__():
        yield error
        yield from all_errors(error)


def test_every_error_has_a_code_and_a_status_of_its_own_kind():
    groups = {errors.NotFound, errors.Conflict, errors.Unprocessable}
    kinds = [error for error in all_errors() if error not in groups]
    assert len({error.code() for error in kinds}) == len(kinds)
    assert all(400 <= error.status < 600 for error in kinds)


def test_every_error_has_a_text_of_its_own_also_without_docstrings():
    told = {error: vars(error)["detail"] for error in all_errors()}
    assert all(told.values())
    assert len(set(told.values())) == len(told)
    # `python -OO` strips docstrings.
    assert not [error for error, detail in told.items() if detail == error.__doc__]


def test_a_problem_has_all_the_members(client):
    answer = client.get("/vouchers?email=nobody@example.org", headers={"X-Request-Id": "r-1"})
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["X-Request-Id"] == "r-1"
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "No customer has this e-mail or id.",
        "code": "customer_not_found",
        "request_id": "r-1",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("DELETE", "/vouchers", 405, "method_not_allowed"),
        ("TRACE", "/vouchers", 405, "method_not_allowed"),
    ],
)
def test_what_flask_refuses_has_the_same_shape(client, method, path, status, code):
    answer = client.open(path, method=method)
    assert answer.mimetype == "application/problem+json"
    assert (answer.json["status"], answer.json["code"]) == (status, code)


def test_an_unacceptable_request_id_is_replaced(client):
    answer = client.get("/livez", headers={"X-Request-Id": "a b\u00e4"})
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["X-Request-Id"])


def test_an_unreachable_database_is_503_with_retry_after(database_url, monkeypatch):
    monkeypatch.setattr(retries, "most_attempts", 2)
    app = create_app(Config(database_url.set(query={"host": "/nonexistent"}), open_mode=True))
    body = {"email": ana, "offer_name": "KOI", "discount": 1, "expiry": in_days(1)}
    answer = app.test_client().post("/vouchers/generate", json=body)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "nonexistent" not in answer.text


def test_a_bug_is_a_500_that_says_nothing_of_itself(app, client, make, sql):
    app.testing = False
    sql("ALTER TABLE redemptions RENAME TO gone")
    try:
        answer = client.redeem(make.voucher())
    finally:
        sql("ALTER TABLE gone RENAME TO redemptions")
    assert (answer.status_code, answer.json["code"]) == (500, "internal_server_error")
    assert "redemptions" not in answer.text
