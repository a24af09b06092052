"""PostgreSQL's own log."""

import os
import signal
import threading
from contextlib import suppress

import pytest
import yaml
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.conftest import config, memory
from tests.patience import most_seconds, until
from voucherpool import create_app
from voucherpool.config.settings import checkout
from voucherpool.database.model import db
from voucherpool.local.postgres import LocalPostgres

code, email = "KIWI-2026", "ana@example.org"

defaults = {"log_min_error_statement": "error", "log_error_verbosity": "default"}


def shipped():
    """Return the settings of docker-compose.yml."""
    compose = yaml.safe_load((checkout / "docker-compose.yml").read_text())
    arguments = compose["services"]["db"]["command"][1:]
    return dict(argument.removeprefix("--").split("=") for argument in arguments)


@pytest.fixture
def server(request):
    with memory("serverlog") as home:
        postgres = LocalPostgres(
            home / "postgres", **request.param, deadlock_timeout="10ms", log_lock_waits="on"
        )
        postgres.start()
        yield postgres


def fail(engine, *statements):
    """Run what the database refuses or undoes, in one transaction."""
    with suppress(DBAPIError), engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def deadlock(engine):
    barrier = threading.Barrier(2)

    def update(first, second):
        with suppress(DBAPIError), engine.connect() as connection:
            for row in (first, second):
                connection.execute(text(f"UPDATE codes SET email = '{email}' WHERE id = {row}"))
                if row == first:
                    barrier.wait(most_seconds)

    threads = [threading.Thread(target=update, args=rows) for rows in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def crash(engine):
    """Kill the process of a statement, after which PostgreSQL says what it ran."""
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        killing = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        killing.start()
        with suppress(DBAPIError):
            connection.execute(text(f"SELECT pg_sleep(10), '{code}'"))


def storm(engine):
    """Let statements fail that hold the code and the e-mail, in each way that PostgreSQL tells."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE codes (id int, code text UNIQUE CHECK (code <> 'bad'), email text);"
                f" INSERT INTO codes VALUES (1, '{code}', '{email}'), (2, 'b', 'b')"
            )
        )
    fail(engine, f"INSERT INTO codes VALUES (3, '{code}', '')")
    fail(engine, f"INSERT INTO codes VALUES (3, 'bad', '{email}')")
    fail(engine, f"SELECT '{code}' FROM nowhere")
    fail(engine, "SET statement_timeout = 50", f"SELECT pg_sleep(1), '{email}'")
    fail(
        engine,
        f"DO $$ BEGIN EXECUTE $q$ INSERT INTO codes VALUES (3, '{code}', '{email}') $q$; END $$",
    )
    fail(engine, f"SELECT pg_terminate_backend(pg_backend_pid()), '{code}'")
    deadlock(engine)
    crash(engine)


@pytest.mark.parametrize(
    ("server", "shown"),
    [(defaults, {code, email}), (shipped(), set())],
    ids=["PostgreSQL's defaults", "docker-compose.yml"],
    indirect=["server"],
)
def test_the_log_shows_neither_codes_nor_emails_with_the_shipped_settings(server, shown):
    engine = create_engine(server.url())
    storm(engine)
    engine.dispose()
    until(lambda: "was terminated by signal 9" in server.log.read_text())
    log = server.log.read_text()
    assert {text for text in (code, email) if text in log} == shown
    for said in ("violates check constraint", "statement timeout", "deadlock detected"):
        assert said in log


@pytest.fixture
def check(database_url):
    """Return a function that runs `voucherpool db check-settings` under further settings."""

    def run(**settings):
        tame = shipped() | settings
        options = " ".join(f"-c {name}={value}" for name, value in tame.items())
        app = create_app(config(database_url.update_query_dict({"options": options})))
        result = app.test_cli_runner().invoke(args=["db", "check-settings"])
        with app.app_context():
            db.engine.dispose()
        return result

    return run


def test_check_settings_is_content_with_the_shipped_settings(check):
    result = check()
    assert (result.exit_code, result.output) == (
        0,
        "PostgreSQL's log shows no codes and no e-mails.\n",
    )


def test_check_settings_names_each_setting_that_leaks_and_what_to_set(check):
    result = check(
        log_min_error_statement="error", log_error_verbosity="verbose", log_statement="mod"
    )
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "log_error_verbosity is verbose: set it to terse.",
        "log_min_error_statement is error: set it to panic.",
        "log_statement is mod: set it to none.",
        "Error: PostgreSQL's log shows codes and e-mails.",
    ]
