"""`voucherpool db upgrade` says what it did, and how to connect if it may not."""

import os

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from tests.conftest import config
from tests.emptying import drop_schema
from voucherpool.__main__ import main
from voucherpool.config.settings import durability
from voucherpool.database.model import db
from voucherpool.readiness import revisions
from voucherpool.readiness.obstacles import find_obstacle

password = "pass"
pytestmark = pytest.mark.one_machine("is about the schema before any distribution")


@pytest.fixture
def run(own_app):
    """Return a function that runs a statement on the test's own database."""

    def statement(sql):
        with own_app.app_context(), db.engine.begin() as connection:
            connection.execute(text(sql))

    return statement


@pytest.fixture
def emptied(own_app):
    """Empty the database, as it is before the first upgrade."""
    with own_app.app_context():
        drop_schema()


@pytest.fixture
def upgrade(own_app, monkeypatch):
    """Return a function that runs `voucherpool db upgrade`, also as another role."""
    url = own_app.config["SQLALCHEMY_DATABASE_URI"]
    monkeypatch.setenv("VOUCHERPOOL_TOLERATE_OFF", ",".join(durability))

    def command(*arguments, role=None):
        address = url.set(username=role, password=password) if role else url
        monkeypatch.setenv("DATABASE_URL", address.render_as_string(hide_password=False))
        ended = CliRunner().invoke(main, ["db", "upgrade", *arguments])
        return ended.exit_code, ended.output

    return command


@pytest.fixture
def role(run):
    """Return the name of a role that may read and write the tables but owns none."""
    name = f"serving_{os.getpid()}"
    run(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}")
    yield name
    run(f"DROP OWNED BY {name}")
    run(f"DROP ROLE {name}")


@pytest.mark.usefixtures("emptied")
def test_it_says_from_which_revision_to_which(upgrade):
    newest = revisions.newest()
    assert upgrade() == (0, f"The database was empty and is now at {newest}.\n")
    assert upgrade() == (0, f"The database is at {newest}: there was nothing to do.\n")


def test_a_newer_database_is_one_line_that_says_what_to_do(run, upgrade):
    run("UPDATE alembic_version SET version_num = '9999'")
    exit_code, output = upgrade()
    assert (exit_code, output.count("\n")) == (1, 1)
    assert "revision 9999" in output
    assert "upgrade the program" in output


def test_a_role_that_may_not_is_named_and_the_owner_asked_for(role, upgrade, own_app):
    with own_app.app_context():
        drop_schema()
    exit_code, output = upgrade(role=role)
    assert (exit_code, output.count("\n")) == (1, 1)
    assert output.startswith(f"Error: The role {role} may not do this (")
    assert "connect as the owner" in output


def test_a_role_without_rights_is_told_where_they_are_granted(own_app, run, role):
    run(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}")
    url = own_app.config["SQLALCHEMY_DATABASE_URI"].set(username=role, password=password)
    obstacle = find_obstacle(config(url).for_flask())
    assert "permission denied for table alembic_version" in obstacle.reason
    assert "Grant it to this role" in obstacle.reason
