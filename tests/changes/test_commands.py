"""`voucherpool vouchers change`."""

import signal

import pytest

from tests.builders import in_days
from tests.patience import most_seconds, until


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=("vouchers", "change", *arguments))


def test_vouchers_are_changed_from_the_terminal(run, batch, sql):
    batch_id = str(batch(5))
    leaked = ("--batch", batch_id, "--disable", "--reason", "leaked")
    assert run(*leaked, "--dry-run").stdout == "Would change 5 vouchers of 5 that match.\n"
    assert run(*leaked).stdout == "Changed 5 vouchers of 5 that match.\n"
    assert run("--offer", "KOI", "--enable", "--only", "unused").exit_code == 0
    assert run("--offer", "KOI", "--expiry", "never").exit_code == 0
    assert sql("SELECT DISTINCT disabled_at, expires_at::text FROM vouchers") == [
        (None, "infinity")
    ]
    assert run("--resume", "2").stdout == "Changed 5 vouchers of 5 that match.\n"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--offer", "KOI", "--disable"], "reason"),
        (["--offer", "KOI"], "expiry"),
        (["--offer", "KOI", "--expiry", in_days(-1)], "future"),
        (["--offer", "KOI", "--extend", "7w"], "7d"),
        (["--offer", "NEW", "--enable"], "offer"),
        (["--batch", "9", "--enable"], "batch"),
        (["--resume", "9"], "change"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_1(run, batch, sql, arguments, word):
    batch(1)
    result = run(*arguments)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert word in result.output
    assert sql("SELECT * FROM changes") == []


def test_exactly_one_of_offer_batch_and_resume_is_named(run, batch):
    batch(1)
    assert run("--enable").exit_code == 2
    assert run("--offer", "KOI", "--batch", "1", "--enable").exit_code == 2
    assert run("--resume", "1", "--enable").exit_code == 2
    assert run("--offer", "KOI", "--expiry", "never", "--extend", "7d").exit_code == 2


@pytest.mark.long
def test_a_change_that_is_killed_and_resumed_adds_its_days_exactly_once(
    batch, voucherpool, run, sql, audit
):
    batch(15_000)
    before = sql("SELECT code_key, expires_at + interval '7 days' FROM vouchers ORDER BY 1")
    process = voucherpool("vouchers", "change", "--offer", "KOI", "--extend", "7d")
    until(lambda: sql("SELECT FROM changes WHERE changed > 0"))
    process.send_signal(signal.SIGKILL)
    process.wait(most_seconds)
    assert sql("SELECT state FROM changes") == [("running",)]
    audit()
    assert run("--resume", "1").exit_code == 0
    assert sql("SELECT code_key, expires_at FROM vouchers ORDER BY 1") == before
    assert sql("SELECT changed, skipped FROM changes") == [(len(before), 0)]
    audit()
