"""Schedules that are due: their batches, and the runs that note the result."""

import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from tests.batches.test_asking import unfinished
from tests.builders import ana, ben
from tests.operations.test_worker import until
from tests.tables import columns
from voucherpool.batches import generating
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction
from voucherpool.operations import worker
from voucherpool.schedules import running


@pytest.fixture
def run_due(app):
    """Return a function that does all that is due, and returns how often there was something."""

    def run():
        count = 0
        with app.app_context():
            while running.run_due():
                count += 1
        return count

    return run


@pytest.fixture
def generate(app):
    def run():
        with app.app_context():
            more = True
            while more:
                with long_transaction():
                    more = generating.advance()

    return run


def outcomes(runs):
    return [(run["state"], run["batch_id"]) for run in runs]


def moment(text):
    return datetime.fromisoformat(text)


def test_a_schedule_happens_however_many_batches_are_unfinished(ask, due, run_due, runs, sql):
    ask()
    sql(unfinished, count=100)
    due()
    assert run_due() == 1
    assert outcomes(runs()) == [("done", 101)]


def test_what_is_due_makes_one_batch_and_sets_the_next_occurrence(
    client, ask, due, run_due, runs, sql
):
    following = ask().json["next_at"]
    assert run_due() == 0
    due()
    [(occurrence,)] = sql("SELECT next_at FROM schedules")
    assert [run_due(), run_due()] == [1, 0]
    [run] = runs()
    assert (run["state"], run["batch_id"], run["error"]) == ("done", 1, None)
    assert moment(run["occurrence"]) == occurrence
    assert client.get("/schedules/1").json["next_at"] == following
    batch = client.get("/batches/1").json
    assert (batch["requested"], batch["state"], batch["notify"]) == (1, "pending", False)
    assert sql("SELECT expires_at, frozen_discount, per_customer FROM batches") == [
        (occurrence + timedelta(days=7), None, None)
    ]


def test_each_customer_gets_vouchers_at_a_frozen_discount_that_leaves_the_offer_alone(
    client, ask, due, make, run_due, generate, sql, offer
):
    for email in (ana, ben):
        make.customer(email)
    ask(audience="all_customers", count=2, discount=30, notify=True)
    due()
    run_due()
    generate()
    assert client.get(f"/offers/{offer}").json["discount"] == 22.1
    rows = sql("SELECT customer_id, frozen_discount, count(*) FROM vouchers GROUP BY 1, 2")
    assert sorted((row[0], float(row[1]), row[2]) for row in rows) == [(1, 30.0, 2), (2, 30.0, 2)]
    client.patch(f"/offers/{offer}", json={"discount": 5})
    assert client.check(client.listed()[0]).json["discount"] == 30
    assert sql("SELECT announced FROM batches") == [(True,)]
    assert sql("SELECT count(*) FROM events WHERE announced") == [(4,)]


def test_only_the_named_customers_get_one(ask, due, make, run_due, generate, sql):
    for email in (ana, ben):
        make.customer(email)
    ask(audience=[ben], count=...)
    due()
    run_due()
    generate()
    assert sql("SELECT customer_id FROM vouchers") == [(2,)]


def test_of_several_missed_occurrences_the_newest_happens_and_the_others_are_skipped(
    ask, due, run_due, runs
):
    ask(cron="*/10 * * * *")
    due("35 minutes")
    assert run_due() == 1
    found = runs()
    assert outcomes(found) in ([("done", 1), *[("skipped", None)] * skipped] for skipped in (3, 4))
    occurrences = [moment(run["occurrence"]) for run in found]
    assert occurrences == sorted(occurrences, reverse=True)
    assert {run["error"] for run in found[1:]} == {"It was missed."}


def test_what_was_missed_for_longer_than_catch_up_is_skipped(client, ask, due, run_due, runs, sql):
    following = ask(catch_up="1h").json["next_at"]
    due("61 minutes")
    run_due()
    [run] = runs()
    assert outcomes([run]) == [("skipped", None)]
    assert "catch_up" in run["error"]
    assert client.get("/schedules/1").json["next_at"] == following
    due("59 minutes")
    run_due()
    assert outcomes(runs()) == [("done", 1), ("skipped", None)]


def test_what_would_have_expired_already_is_skipped(ask, due, run_due, runs, sql):
    ask(valid_for="30m")
    due("31 minutes")
    run_due()
    [run] = runs()
    assert outcomes([run]) == [("skipped", None)]
    assert "expired" in run["error"]
    assert sql("SELECT * FROM batches") == []


def test_a_year_of_missed_minutes_is_noted_a_hundred_times(ask, due, run_due, runs):
    ask(cron="* * * * *")
    due("1 year")
    assert run_due() == 1
    assert outcomes(runs()) == [("done", 1), *[("skipped", None)] * 100]


def test_a_paused_schedule_does_nothing_and_catches_up_nothing(
    client, ask, due, run_due, runs, sql
):
    ask(cron="* * * * *")
    client.patch("/schedules/1", json={"paused": True})
    due("1 hour")
    assert run_due() == 0
    assert client.patch("/schedules/1", json={"paused": False}).json["next_at"] > "2"
    assert sql("SELECT next_at > now() FROM schedules") == [(True,)]


def errors(caplog):
    return [record.message for record in caplog.records if record.levelname == "ERROR"]


def test_a_run_that_cannot_be_fails_and_the_schedules_go_on(
    client, ask, due, run_due, runs, sql, caplog
):
    ask(audience="all_customers", count=...)
    ask(name="Pool")
    due()
    assert run_due() == 2
    [run] = runs(1)
    assert outcomes([run]) == [("failed", None)]
    assert run["error"] == "Must result in 1 to 5000000 vouchers, not 0."
    assert sql("SELECT id FROM batches") == [(runs(2)[0]["batch_id"],)]
    assert sql("SELECT count(*) FROM schedules WHERE next_at > now()") == [(2,)]
    assert errors(caplog) == []
    assert run["error"] in caplog.text


def test_a_bug_makes_one_run_fail_and_is_an_error_in_the_log(
    ask, due, run_due, runs, monkeypatch, caplog
):
    ask()
    due()
    monkeypatch.setattr(running.batches, "create_for", lambda *_, **__: 1 / 0)
    assert run_due() == 1
    [run] = runs()
    assert (run["state"], run["error"]) == ("failed", "ZeroDivisionError")
    assert errors(caplog) == ["Schedule 1 met a bug."]


def test_a_database_that_takes_no_writes_for_a_while_fails_no_run(
    app, ask, due, run_due, runs, monkeypatch, caplog
):
    def refuse(*_, **__):
        read_only = "DO $$ BEGIN RAISE SQLSTATE '25006'; END $$"
        db.session.execute(text(read_only))

    ask()
    due()
    with app.app_context(), monkeypatch.context() as standby:
        standby.setattr(running.batches, "create_for", refuse)
        assert worker.attempt("schedules", running.run_due, lambda: False) is False
    assert runs() == []
    assert errors(caplog) == []
    assert run_due() == 1
    assert [run["state"] for run in runs()] == ["done"]


def test_an_audience_that_is_left_without_customers_is_not_everybody(
    client, ask, due, make, run_due, runs, sql
):
    for email in (ana, ben):
        make.customer(email)
    ask(audience=[ana])
    sql("UPDATE schedules SET customer_ids = '{}'")
    due()
    run_due()
    [run] = runs()
    assert outcomes([run]) == [("failed", None)]
    assert run["error"] == "None of its customers is left."
    assert sql("SELECT * FROM batches") == []


def test_an_occurrence_that_has_a_run_never_happens_again(ask, due, run_due, sql):
    ask()
    due()
    [(occurrence,)] = sql("SELECT next_at FROM schedules")
    run_due()
    sql("UPDATE schedules SET next_at = :moment", moment=occurrence)
    assert run_due() == 1
    assert sql("SELECT count(*) FROM batches") == [(1,)]
    assert sql("SELECT next_at > now() FROM schedules") == [(True,)]


def test_a_schedule_that_another_process_works_on_is_passed_over(app, ask, due, run_due):
    ask()
    due()
    with app.app_context(), long_transaction():
        running.run_next()
        assert run_due() == 0


def test_the_runs_are_listed_page_by_page_the_newest_first(client, ask, due, run_due, runs):
    ask(cron="* * * * *")
    due("10 minutes")
    run_due()
    everything, found, cursor = runs(), [], ""
    while cursor is not None:
        page = client.get(f"/schedules/1/runs?limit=4{cursor and f'&cursor={cursor}'}").json
        found += page["items"]
        cursor = page["next"]
    assert found == everything
    assert len(found) >= 10


def test_deleting_a_schedule_deletes_its_runs_and_no_batch(client, ask, due, run_due, sql):
    ask()
    due()
    run_due()
    assert client.delete("/schedules/1").status_code == 204
    assert sql("SELECT (SELECT count(*) FROM schedule_runs), (SELECT count(*) FROM batches)") == [
        (0, 1)
    ]


def test_the_command_says_what_it_did_and_lists_what_comes(app, ask, due):
    following = ask().json["next_at"]
    ask(name="Away", audience="all_customers", count=...)
    due()
    runner = app.test_cli_runner()
    ran = runner.invoke(args=("schedules", "run"))
    assert re.sub(r", \S+: ", ": ", ran.output).splitlines() == [
        "Monday: done, batch 1",
        "Away: failed, Must result in 1 to 5000000 vouchers, not 0.",
    ]
    assert runner.invoke(args=("schedules", "run")).output == "No schedule is due.\n"
    [headings, monday, _] = columns(runner.invoke(args=("schedules", "list")).output)
    assert headings == ["ID", "NAME", "OFFER NAME", "CRON", "TIMEZONE", "PAUSED", "NEXT AT"]
    assert [*monday[:2], *monday[3:]] == [
        *("1", "Monday", "0 9 * * 1", "Europe/Berlin", "no", following)
    ]


@pytest.mark.long
def test_each_occurrence_happens_once_though_a_worker_is_killed(voucherpool, ask, make, sql, audit):
    schedules = 20
    make.customer(ana)
    ask(name="0", audience="all_customers", count=..., notify=True, cron="0 0 1 1 *")
    sql(
        "INSERT INTO schedules (name, offer_id, cron, timezone, audience, count, valid_for, notify,"
        " paused, catch_up, next_at) SELECT n::text, offer_id, cron, timezone, audience, count,"
        " valid_for, notify, paused, catch_up, next_at FROM schedules,"
        " generate_series(1, :last) AS n",
        last=schedules - 1,
    )

    def count(rows):
        return sql(f"SELECT count(*) FROM {rows}")[0][0]

    victim = voucherpool("worker")
    sql("UPDATE schedules SET next_at = now() - interval '1 second'")
    until(lambda: count("schedule_runs") > 0)
    victim.kill()
    victim.wait()
    voucherpool("worker")
    until(lambda: count("numbered_events") >= schedules and not count("events"))
    assert count("schedule_runs WHERE state = 'done'") == count("schedule_runs") == schedules
    assert count("batches WHERE state = 'done'") == count("batches") == schedules
    assert count("vouchers") == count("numbered_events") == schedules
    audit()
