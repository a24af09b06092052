"""The commands."""

import errno
import json
import os
import re
import signal

import click
import pytest
from click import ClickException
from click.testing import CliRunner

from tests.emptying import drop_schema
from tests.tables import columns
from voucherpool import create_app
from voucherpool.__main__ import main
from voucherpool.archive import moving
from voucherpool.cli import plain_errors
from voucherpool.config.settings import Config
from voucherpool.database.model import db


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=arguments)


def test_seed_adds_ten_customers_and_some_offers_and_twice_changes_nothing(run, sql):
    assert run("seed").output == "Added 10 customers, 3 offers and 23 vouchers.\n"
    rows = sql("SELECT email FROM customers ORDER BY id")
    assert [row.email for row in rows] == [f"customer{n}@gmail.com" for n in range(10)]
    sql("UPDATE offers SET discount = 50")
    before = sql("SELECT c::text FROM customers c UNION ALL SELECT o::text FROM offers o")
    assert run("seed").output == "Added 0 customers, 0 offers and 0 vouchers.\n"
    assert sql("SELECT c::text FROM customers c UNION ALL SELECT o::text FROM offers o") == before


def test_one_customer_is_not_called_customers(run, tmp_path):
    (tmp_path / "customers.json").write_text('[{"email": "a@example.org"}]')
    (tmp_path / "offers.json").write_text("[]")
    assert (
        run("seed", "--directory", str(tmp_path)).output
        == "Added 1 customer, 0 offers and 0 vouchers.\n"
    )


def test_the_fields_that_are_wrong_are_named_in_sentences(run, make):
    make.voucher()
    result = run("vouchers", "issue", "KOI", "--count", "1", "--expiry", "tomorrow")
    assert result.exit_code == 1
    assert (
        "expiry: Must be a day, such as 2030-12-31, or a date and time with an offset"
        in result.output
    )
    assert "{" not in result.output


def test_a_wrong_seed_file_is_named_with_its_fault_and_adds_nothing(run, sql, tmp_path):
    (tmp_path / "customers.json").write_text('[{"email": "a@example.org"}, {"email": "b"}]')
    (tmp_path / "offers.json").write_text("[]")
    result = run("seed", "--directory", str(tmp_path))
    assert result.exit_code == 1
    assert "customers.json" in result.output
    assert "Must be an e-mail address" in result.output
    assert sql("SELECT * FROM customers") == []


def test_a_seed_file_that_is_no_json_is_named(run, tmp_path):
    (tmp_path / "customers.json").write_text("{")
    result = run("seed", "--directory", str(tmp_path))
    assert result.exit_code == 1
    assert "customers.json: The body is not JSON" in result.output


def test_a_key_is_printed_once_and_opens_its_scopes_only(app, run, anonymous, make, sql):
    make.customer("ana@example.org")
    key = run("apikeys", "create", "shop", "--scope", "read").output.strip()
    assert re.fullmatch("vp_[0-9A-Za-z]{46}", key)
    headers = {"Authorization": f"Bearer {key}"}
    assert anonymous.get("/vouchers?email=ana@example.org", headers=headers).status_code == 200
    assert anonymous.post("/vouchers/validate", headers=headers).status_code == 403
    listed = run("apikeys", "list").output
    [headings, row] = columns(listed)
    assert headings == ["ID", "NAME", "SCOPES", "CREATED AT", "LAST USED AT", "REVOKED AT"]
    [(key_id,)] = sql("SELECT id FROM api_keys")
    assert [row[0], *row[1:3], row[5]] == [str(key_id), "shop", "read", "-"]
    assert key not in listed
    assert run("apikeys", "revoke", "shop").output == "Revoked shop.\n"
    [listed] = json.loads(run("apikeys", "list", "--json").output)
    assert (listed["id"], listed["scopes"]) == (key_id, ["read"])
    assert listed["revoked_at"] is not None
    app.extensions["apikeys"].grants.clear()
    assert anonymous.get("/vouchers?email=ana@example.org", headers=headers).status_code == 401


def test_a_name_that_is_taken_and_one_that_is_not_known_are_one_line_and_exit_code_1(run):
    run("apikeys", "create", "shop", "--scope", "read")
    again = run("apikeys", "create", "shop", "--scope", "read")
    assert (again.exit_code, again.output.count("\n")) == (1, 1)
    assert "exists" in again.output
    unknown = run("apikeys", "revoke", "nobody")
    assert (unknown.exit_code, unknown.output.count("\n")) == (1, 1)


def test_the_name_of_a_revoked_key_stays_taken_and_the_refusal_says_so(run):
    run("apikeys", "create", "shop", "--scope", "read")
    run("apikeys", "revoke", "shop")
    again = run("apikeys", "create", "shop", "--scope", "read")
    assert again.exit_code == 1
    assert "revoked: choose another name" in again.output


@pytest.mark.parametrize("name", ["", " ", "a\tb", "a\nb", "a" * 201])
def test_a_key_needs_a_name_that_the_list_can_show(run, sql, name):
    assert run("apikeys", "create", name, "--scope", "read").exit_code == 2
    assert sql("SELECT * FROM api_keys") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("apikeys", "create", "\udcff", "--scope", "read"),
        ("apikeys", "revoke", "\udcff"),
        ("customers", "erase", "\udcff", "--yes"),
        ("vouchers", "export", "--offer", "\udcff"),
    ],
)
def test_an_argument_that_is_not_utf8_is_one_line_and_exit_code_1(run, arguments):
    result = run(*arguments)
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "UTF-8" in result.output


def test_an_error_without_a_file_names_none():
    with pytest.raises(ClickException, match=r"^No space left on device\.$"), plain_errors():
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_unknown_scope_is_refused_with_those_there_are(run):
    result = run("apikeys", "create", "shop", "--scope", "everything")
    assert result.exit_code == 2
    assert "issue" in result.output


def test_an_unreachable_database_is_one_line_and_exit_code_1(database_url):
    app = create_app(Config(database_url.set(query={"host": "/nonexistent"})))
    result = app.test_cli_runner().invoke(args=["seed"])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "database" in result.output
    with app.app_context():
        db.engine.dispose()


@pytest.mark.one_machine("is about the schema before any distribution")
def test_a_database_that_is_not_migrated_is_one_line_that_says_what_to_do(own_app):
    with own_app.app_context():
        drop_schema()
    result = own_app.test_cli_runner().invoke(args=["seed"])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "voucherpool db upgrade" in result.output


def test_missing_seed_files_are_one_line_and_exit_code_1(run, tmp_path):
    result = run("seed", "--directory", str(tmp_path))
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "customers.json" in result.output


def test_an_upgrade_without_a_database_is_one_line_and_exit_code_1():
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}
    result = CliRunner().invoke(main, ["db", "upgrade"], env=nowhere)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "database" in result.stderr


def test_the_audit_says_whether_the_books_balance_and_exits_with_1_if_not(run, make, sql):
    make.voucher()
    clean = run("audit")
    assert (clean.exit_code, clean.output) == (0, "The books balance.\n")
    sql("UPDATE vouchers SET redemption_count = 1, used_at = now()")
    broken = run("audit")
    assert broken.exit_code == 1
    assert "1 row: a voucher's redemption_count is not" in broken.output
    assert broken.output.endswith("The books do not balance: the rules above are broken.\n")
    sql("UPDATE vouchers SET redemption_count = 0, used_at = NULL")
    sql("UPDATE customers SET email = '=?utf-8?q?a?=@example.org'")
    unsafe = run("audit")
    assert unsafe.exit_code == 1
    assert "1 row: a customer's e-mail would be refused today." in unsafe.output
    assert unsafe.output.endswith("The books balance, but the rules above are broken.\n")


def groups(command, path=()):
    """Yield the path of each group of commands."""
    if isinstance(command, click.Group):
        yield path
        for name, part in command.commands.items():
            yield from groups(part, (*path, name))


@pytest.mark.parametrize("path", [*groups(main)], ids=" ".join)
def test_no_line_of_the_help_is_cut_off(path):
    shown = CliRunner().invoke(main, [*path, "--help"]).output
    listed = shown.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_an_operator_is_not_offered_what_only_a_developer_needs():
    assert {"routes", "shell"}.isdisjoint(main.commands)
    offered = {"current", "downgrade", "history", "upgrade", "check-settings", "distribute"}
    assert set(main.commands["db"].commands) == offered


@pytest.fixture
def without_database(monkeypatch):
    """Return a function that runs a command where no database is named."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_a_misspelt_command_is_named_before_a_database_is_asked_for(without_database):
    ended = without_database("serv")
    assert ended.exit_code == 2
    assert "No such command 'serv'" in ended.output
    assert "DATABASE_URL" not in ended.output


def test_a_misspelt_setting_is_a_warning_that_names_the_nearest(
    database_url, without_database, monkeypatch
):
    warning = "VOUCHERPOOL_THREAD is not a setting and is ignored: do you mean VOUCHERPOOL_THREADS?"
    monkeypatch.setenv("VOUCHERPOOL_THREAD", "8")
    address = {"DATABASE_URL": database_url.render_as_string(hide_password=False)}
    ended = CliRunner(env=address).invoke(main, ["apikeys", "list"])
    assert (ended.exit_code, ended.stderr) == (0, f"Warning: {warning}\n")
    assert len(ended.stdout.splitlines()) == 1
    # It comes before an error that it may explain.
    assert without_database("seed").output.splitlines()[0] == f"Warning: {warning}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_says_what_is_done_and_how_to_go_on(run, monkeypatch, number):
    handler = signal.getsignal(signal.SIGTERM)
    # A shell lets what it runs in the background ignore SIGINT.
    at_interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)

    def stop(*_):
        os.kill(os.getpid(), number)

    monkeypatch.setattr(moving, "blocks", lambda: [0, 1])
    monkeypatch.setattr(moving, "archive", stop)
    ended = run("vouchers", "archive", "--older-than", "90d")
    signal.signal(signal.SIGINT, at_interrupt)
    last = "Interrupted. Archived 0 vouchers: run it again for the rest."
    assert (ended.exit_code, ended.stderr.splitlines()[-1]) == (130, last)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_who_reads_only_the_first_lines_sees_no_error(voucherpool, make):
    make.voucher()
    listing = voucherpool("offers", "list")
    listing.stdout.close()
    assert listing.stderr.read() == ""


def test_completion_knows_the_commands_without_a_database(without_database, monkeypatch):
    typed = {"COMP_WORDS": "voucherpool vouchers d", "COMP_CWORD": "2"}
    asked = {"_VOUCHERPOOL_COMPLETE": "bash_complete", **typed}
    offered = CliRunner(env=asked).invoke(main, prog_name="voucherpool").output
    assert offered == "plain,disable\n"
