"""`voucherpool vouchers issue`: the options that it takes and refuses; `voucherpool batches`."""

import json

import pytest

from tests.builders import ana, ben, in_days
from tests.tables import columns
from voucherpool.batches import generating


@pytest.fixture
def run(app, client):
    client.post("/offers", json={"name": "KOI", "discount": 22.1})
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=("vouchers", "issue", *arguments))


def test_vouchers_are_issued_from_the_terminal(run, sql):
    code = ("--prefix", "KOI", "--length", "10")
    result = run("KOI", "--count", "12000", "--expiry", in_days(30), *code, "--freeze-discount")
    assert result.stdout == "Issued 12000 vouchers in batch 1.\n"
    [counted] = sql("SELECT count(*), min(length(code_key)), min(frozen_discount) FROM vouchers")
    assert (counted[0], counted[1], float(counted[2])) == (12000, 13, 22.1)


def test_customers_are_named_one_by_one_or_all(run, make, sql):
    for email in (ana, ben):
        make.customer(email)
    expiry = ("--expiry", in_days(30))
    assert run("KOI", *expiry, "--audience", ana, "--audience", ben).exit_code == 0
    assert run("KOI", *expiry, "--audience", "all_customers", "--count", "2").exit_code == 0
    rows = sql("SELECT customer_id, count(*) FROM vouchers GROUP BY 1")
    assert [row.count for row in rows] == [3, 3]


def test_vouchers_may_never_expire_until_they_are_claimed(run, sql):
    assert run("KOI", "--count", "2", "--expiry", "never", "--valid-for", "P30D").exit_code == 0
    rows = sql("SELECT DISTINCT expires_at::text, valid_for::text FROM vouchers")
    assert rows == [("infinity", "30 days")]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["KOI", "--count", "1"], "expiry"),
        (["KOI", "--expiry", in_days(1)], "count"),
        (["KOI", "--count", "1", "--expiry", in_days(-1)], "future"),
        (["KOI", "--expiry", in_days(1), "--audience", "nobody@example.org"], "nobody@example.org"),
        (["NEW", "--count", "1", "--expiry", in_days(1)], "offer"),
        (["--resume", "7"], "batch"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_1(run, sql, arguments, word):
    result = run(*arguments)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert word in result.output
    assert sql("SELECT * FROM batches") == []


def test_an_offer_or_a_batch_to_resume_must_be_named_and_not_both(run):
    assert run().exit_code == 2
    assert run("KOI", "--resume", "7").exit_code == 2


@pytest.mark.parametrize("option", [("--count", "5"), ("--freeze-discount",), ("--audience", ana)])
def test_what_is_resumed_takes_no_other_terms(run, option):
    assert run("--resume", "7", *option).exit_code == 2


def test_a_batch_that_is_done_is_only_reported_when_it_is_resumed(run, sql):
    first = run("KOI", "--count", "5", "--expiry", in_days(1))
    again = run("--resume", "1")
    assert first.stdout == again.stdout == "Issued 5 vouchers in batch 1.\n"
    assert sql("SELECT count(*) FROM vouchers") == [(5,)]


def test_batches_are_listed_the_newest_first_and_shown(app, run, client):
    client.post("/offers", json={"name": "OTHER", "discount": 5})
    for offer in ("KOI", "OTHER"):
        run(offer, "--count", "3", "--expiry", in_days(1))
    batches = app.test_cli_runner()
    listed = columns(batches.invoke(args=("batches", "list")).output)
    assert listed[0][:5] == ["ID", "OFFER ID", "STATE", "REQUESTED", "CREATED"]
    assert [row[:5] for row in listed[1:]] == [
        ["2", "2", "done", "3", "3"],
        ["1", "1", "done", "3", "3"],
    ]
    assert len(columns(batches.invoke(args=("batches", "list", "--offer", "KOI")).output)) == 2
    shown = batches.invoke(args=("batches", "show", "2", "--json")).output
    assert json.loads(shown) == client.get("/batches/2").json
    assert "No batch" in batches.invoke(args=("batches", "show", "9")).output


def test_an_interrupted_issue_says_what_is_done_and_how_to_go_on(run, monkeypatch, sql):
    advance = generating.advance

    def interrupt_second(batch_id):
        if sql("SELECT created FROM batches") != [(0,)]:
            raise KeyboardInterrupt
        return advance(batch_id)

    monkeypatch.setattr(generating, "advance", interrupt_second)
    ended = run("KOI", "--count", "20001", "--expiry", in_days(1))
    assert ended.exit_code == 130
    assert ended.stderr.splitlines()[-1] == (
        "Interrupted. Batch 1 has 20000 of 20001 vouchers: a running worker goes on, and so does"
        " `voucherpool vouchers issue --resume 1`."
    )
    monkeypatch.undo()
    assert run("--resume", "1").stdout == "Issued 20001 vouchers in batch 1.\n"
