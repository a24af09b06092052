"""A stranger learns nothing of a code from the answer or from how long it takes."""

import time
from statistics import median

import pytest

from tests.builders import ana, ben

rounds = 600
known, guest = {"email": ben}, {"email": "guest@example.org", "create_customer": True}


@pytest.fixture
def codes(app, make, monkeypatch):
    """Return codes that ben may not have: another customer's, an unknown one and no code at all."""
    monkeypatch.setitem(app.config, "FAILED_ATTEMPTS_PER_KEY", 10**9)
    monkeypatch.setitem(app.config, "FAILED_ATTEMPTS_PER_EMAIL", 10**9)
    make.customer(ben)
    return {"foreign": make.voucher(ana), "unknown": "0000-0000-0000", "misspelt": "not a code!"}


def ask(client, path, code, who):
    started = time.perf_counter()
    answer = client.post(path, json={"code": code, **who}, headers={"X-Request-Id": "the-same"})
    return time.perf_counter() - started, (answer.status, answer.data, [*answer.headers])


@pytest.mark.parametrize("who", [known, guest], ids=["known", "guest"])
@pytest.mark.parametrize("path", ["/vouchers/validate", "/vouchers/hold", "/vouchers/check"])
def test_the_answers_are_the_same_byte_for_byte(client, codes, path, who):
    answers = {name: ask(client, path, code, who)[1] for name, code in codes.items()}
    assert answers["foreign"] == answers["unknown"] == answers["misspelt"]


@pytest.mark.long
@pytest.mark.parametrize("who", [known, guest], ids=["known", "guest"])
@pytest.mark.parametrize("path", ["/vouchers/validate", "/vouchers/hold", "/vouchers/check"])
def test_the_answers_take_equally_long(client, codes, path, who):
    """The median difference to an unknown code's time, asked right before or after, is noise."""
    differences = {name: [] for name in codes if name != "unknown"}
    usual = []
    for number in range(rounds):
        for name, of_name in differences.items():
            pair = [name, "unknown"][:: (-1) ** number]
            times = {kind: ask(client, path, codes[kind], who)[0] for kind in pair}
            of_name.append(times[name] - times["unknown"])
            usual.append(times["unknown"])
    for name, of_name in differences.items():
        assert abs(median(of_name)) <= 0.02 * median(usual), (name, median(of_name), median(usual))
