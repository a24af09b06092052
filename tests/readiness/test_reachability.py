"""An address that leads nowhere ends the start with one line that names the cause."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from tests.patience import most_seconds
from tests.server import free_port
from voucherpool import create_app
from voucherpool.__main__ import main
from voucherpool.config.settings import Config, ConfigurationError, checkout
from voucherpool.database.model import db
from voucherpool.errors import CannotStart
from voucherpool.readiness import durability
from voucherpool.readiness.obstacles import find_obstacle

pieces = ("s3cret", "h1dden", "f00", "b4r")


@pytest.fixture
def address(database_url):
    """Return a function that gives the database's address, changed, with a password in it."""
    # A server that asks for a password keeps its own.
    odd = "{}/{}?{}:{}".format(*pieces)
    known = database_url.set(password=database_url.password or odd)

    def change(database=None, **query):
        url = known.set(database=database or known.database).update_query_dict(query)
        return url.render_as_string(hide_password=False)

    return change


wrong = pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"foo": "bar"}, 'invalid connection option "foo"'),
        ({"sslmode": "sometimes"}, 'invalid sslmode value: "sometimes"'),
        ({"database": "nope"}, 'database "nope" does not exist'),
        ({"options": "-c foo=bar"}, 'unrecognized configuration parameter "foo"'),
    ],
)


def names_the_cause_alone(line, cause):
    """Tell whether a line holds the cause and no part of the password."""
    return cause in line and not any(piece in line for piece in pieces)


@wrong
@pytest.mark.parametrize("command", ["worker", "seed", "db upgrade"])
def test_a_wrong_address_ends_a_command_with_one_line(
    address, monkeypatch, command, changed, cause
):
    monkeypatch.setenv("DATABASE_URL", address(**changed))
    ended = CliRunner().invoke(main, command.split())
    assert (ended.exit_code, ended.output.count("\n")) == (1, 1)
    assert ended.output.startswith("Error: ")
    assert names_the_cause_alone(ended.output, cause)


@pytest.mark.parametrize("command", ["seed", "db upgrade"])
def test_an_unknown_host_ends_a_command_with_one_line(address, monkeypatch, command):
    monkeypatch.setenv("DATABASE_URL", address(host="nohost.invalid"))
    ended = CliRunner().invoke(main, command.split())
    assert (ended.exit_code, ended.output.count("\n")) == (1, 1)
    assert names_the_cause_alone(ended.output, 'could not translate host name "nohost.invalid"')


@wrong
def test_a_wrong_address_ends_the_start(address, changed, cause):
    with pytest.raises(CannotStart) as refusal:
        durability.require(
            Config.from_environment({"DATABASE_URL": address(**changed)}).for_flask()
        )
    assert names_the_cause_alone(str(refusal.value), cause)


def test_gunicorn_tells_the_cause_in_its_last_line(address):
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{free_port()}", "wsgi:app"],
        cwd=checkout,
        env={**os.environ, "DATABASE_URL": address(foo="bar")},
        capture_output=True,
        text=True,
        timeout=most_seconds,
        check=False,
    )
    *before, last = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert "Error" not in "".join(before)
    assert names_the_cause_alone(last, 'option "foo"')


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://user:s3cret@h1dden@db/voucherpool",
        "postgresql://user:s3cret@h1dden?f00@db/voucherpool",
        "postgresql://us/er:s3cret@db/voucherpool",
        "postgresql://db/voucherpool?password=s3cret&h1dden=f00",
    ],
)
def test_a_password_that_is_not_spelt_for_an_address_is_not_shown(given):
    with pytest.raises(ConfigurationError) as refusal:
        Config.from_environment({"DATABASE_URL": given})
    assert not any(piece in str(refusal.value) for piece in pieces)


def test_a_parameter_that_is_given_twice_is_refused_by_name():
    given = "postgresql://db/voucherpool?options=-ca=b&options=-cc=d"
    with pytest.raises(ConfigurationError, match="options is given twice"):
        Config.from_environment({"DATABASE_URL": given})


def test_several_hosts_and_escaped_characters_are_read():
    given = "postgresql://us%40er:p%40ss@/voucherpool?host=db1:5432&host=db2:5432"
    url = Config.from_environment({"DATABASE_URL": given}).database_url
    assert (url.username, url.password) == ("us@er", "p@ss")


@pytest.mark.parametrize(
    "query",
    [{"host": "/nonexistent"}, {"host": "127.0.0.1", "port": "1"}, {"host": "nohost.invalid"}],
)
def test_a_database_that_may_come_up_is_waited_for(database_url, query):
    durability.require(Config(database_url.set(query=query)).for_flask())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"host": "127.0.0.1", "port": "1"}, ("port 1", "Connection refused", "Start PostgreSQL")),
        ({"host": "127.0.0.1,nohost.invalid", "port": "1,2"}, ("nohost.invalid", "DATABASE_URL")),
        ({"options": "-c foo=bar"}, ('parameter "foo"', "Correct DATABASE_URL")),
        ({"options": "-c default_transaction_read_only=on"}, ("standby", "promote it")),
    ],
)
def test_the_reason_names_cause_and_cure(database_url, query, words):
    url = database_url.update_query_dict(query)
    obstacle = find_obstacle(Config(url, timeouts="role").for_flask())
    assert not obstacle.may_serve
    assert all(word in obstacle.reason for word in words), obstacle.reason


@pytest.mark.one_machine("a cluster plans by values")
def test_options_of_the_address_come_to_ours_and_win_over_the_same_ones(database_url):
    options = {"options": "-c search_path=public -c statement_timeout=7s"}
    app = create_app(Config(database_url.update_query_dict(options)))

    def shown(name):
        return db.session.scalar(text(f"SHOW {name}"))

    with app.app_context():
        settings = ("search_path", "statement_timeout", "lock_timeout", "plan_cache_mode")
        assert [shown(name) for name in settings] == ["public", "7s", "2s", "force_generic_plan"]
        db.session.remove()
        db.engine.dispose()
