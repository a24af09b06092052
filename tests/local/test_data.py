"""The environment in which commands find the data of a running `voucherpool start`."""

import pytest
from click.testing import CliRunner

from tests.conftest import memory
from voucherpool.__main__ import main
from voucherpool.local import data
from voucherpool.local.postgres import LocalPostgres


@pytest.fixture(scope="module")
def folder():
    with memory("data") as home:
        LocalPostgres(home / "postgres").start()
        yield home


@pytest.fixture
def local(folder, monkeypatch):
    monkeypatch.setattr(data, "directory", folder)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return folder


def run(*arguments):
    return CliRunner().invoke(main, arguments)


def test_without_an_address_a_command_uses_the_running_database_and_says_so(local):
    ended = run("db", "upgrade")
    assert ended.exit_code == 0, ended.stderr
    assert ended.stderr.startswith("Using the database of `make run` in ")
    ended = run("seed")
    assert ended.stdout == "Added 10 customers, 3 offers and 23 vouchers.\n"


def test_the_secret_key_of_the_service_is_found_too(local):
    key = data.kept_key(local)
    assert data.environment({})["VOUCHERPOOL_SECRET_KEY"] == key
    given = {"VOUCHERPOOL_SECRET_KEY": "given"}
    assert data.environment(given)["VOUCHERPOOL_SECRET_KEY"] == "given"


def test_an_address_that_is_given_is_the_one_that_is_used(local, capsys):
    environ = {"DATABASE_URL": "postgresql:///elsewhere"}
    assert data.environment(environ) == environ
    assert capsys.readouterr().err == ""


def test_without_a_running_database_one_line_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "directory", tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    (tmp_path / "postgres").mkdir()
    ended = run("audit")
    assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1)
    assert "DATABASE_URL must be the address of a PostgreSQL database" in ended.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["vouchers", "--help"]])
def test_help_and_version_need_no_database(monkeypatch, tmp_path, arguments):
    monkeypatch.setattr(data, "directory", tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    ended = run(*arguments)
    assert (ended.exit_code, ended.stderr) == (0, "")


def test_settings_that_flask_alone_would_take_are_not_offered():
    help_ = run("--help").stdout
    assert "--env-file" not in help_
    assert "--app" not in help_
