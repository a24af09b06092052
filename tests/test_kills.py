"""Workers killed with -9 in the middle of a redemption."""

from contextlib import suppress
from http.client import HTTPException

import pytest

from tests.builders import ana
from tests.patience import until
from tests.server import Server, run_gunicorn


def until_answered(server, body, key):
    answers = []

    def is_answered():
        with suppress(HTTPException, ConnectionError):  # the other worker was not up yet
            answers.append(server.send("/vouchers/validate", body, Idempotency_Key=key))
        return answers

    until(is_answered)
    return answers[0]


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.fault)])
def test_every_retry_converges_and_no_key_stays_stuck(database_url, key, make, sql, kills):
    codes = [make.voucher(max_redemptions=9) for _ in range(kills)]
    with run_gunicorn(database_url, app="tests.faulty_wsgi:app") as port:
        server = Server(port, key)
        for number, code in enumerate(codes):
            body, name = {"code": code, "email": ana}, f"key-{number}"
            moment = ("before", "after")[number % 2]
            with pytest.raises((HTTPException, ConnectionError)):
                server.send("/vouchers/validate", body, X_Kill=moment, Idempotency_Key=name)
            first, second = (until_answered(server, body, name) for _ in range(2))
            assert first[0] == 201
            assert first == second
    rows = sql("SELECT count(*), count(DISTINCT code_key) FROM redemptions")
    assert rows == [(kills, kills)]
    assert sql("SELECT count(*) FROM idempotency_keys WHERE status IS NULL") == [(0,)]
