"""`voucherpool console users`."""

import pytest

from tests.console.conftest import password
from tests.tables import columns


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=("console", "users", *arguments))


def test_a_user_is_added_and_chooses_a_password_by_the_link_that_is_printed(run, browser):
    path, note = run("add", "Ana@shop.example", "--role", "support").output.splitlines()
    assert "once, for 24 hours" in note
    both = {"password": password, "again": password}
    assert browser.send(path.removeprefix("/console"), both).status_code == 302
    assert browser.sign_in("ana@SHOP.example").location == "/console/"


def test_a_new_link_replaces_the_old_one(run, browser):
    old = run("add", "ana@shop.example", "--role", "support").output.split()[0]
    new = run("link", "ana@shop.example").output.split()[0]
    assert browser.load(old.removeprefix("/console")).status_code == 404
    assert browser.load(new.removeprefix("/console")).status_code == 200


def test_users_are_listed_changed_and_removed(run, user, sql):
    user("support")
    [headings, [email, role, has_password, signed_in]] = columns(run("list").output)
    assert headings == ["EMAIL", "ROLE", "HAS PASSWORD", "SIGNED IN AT"]
    assert (email, role, has_password, signed_in) == ("support@shop.example", "support", "yes", "-")
    assert "from now on" in run("change", email, "--role", "admin").output
    assert run("remove", email).output == f"Removed {email}.\n"
    assert sql("SELECT * FROM console_users") == []
    done = "SELECT action FROM audit_log WHERE actor LIKE 'cli:%' AND subject = 'console_user'"
    assert [action for (action,) in sql(f"{done} ORDER BY id")] == [
        "console_user.changed",
        "console_user.deleted",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "support@shop.example", "--role", "admin"), "A user of the console has this"),
        (("add", "nonsense", "--role", "admin"), "email: Must be an e-mail address"),
        (("add", "ana@shop.example", "--role", "owner"), "'owner' is not one of"),
        (("link", "nobody@shop.example"), "`voucherpool console users list` shows all."),
        (("change", "nobody@shop.example", "--role", "admin"), "No user of the console"),
        (("remove", "nobody@shop.example"), "No user of the console"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(run, user, arguments, said):
    user("support")
    result = run(*arguments)
    assert result.exit_code != 0
    assert said in result.output
