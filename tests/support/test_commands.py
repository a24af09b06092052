"""`voucherpool vouchers show`, `disable` and `enable`."""

import json

import pytest

from tests.builders import ana, ben


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=("vouchers", *arguments))


def test_a_voucher_is_shown_with_its_history_in_any_spelling(client, make, run):
    code = make.voucher(customer_id=None, max_redemptions=2)
    make.customer(ben)
    client.hold(code, ben)
    client.redeem(code, order_ref="A-1")
    client.redeem(code, order_ref="A-2")
    ended = run("show", code.lower().replace("-", " "))
    lines = ended.output.splitlines()
    assert lines[0].split() == ["code", code]
    for title, words in {
        "Holds:": (ben,),
        "Redemptions:": (ana, "A-1"),
        "Refused attempts:": ("redeem", "voucher_held", "A-2"),
    }.items():
        row = lines[lines.index(title) + 2]
        assert all(word in row for word in words)
    assert lines[lines.index("Redemptions:") + 1].startswith("ID")
    record = client.post("/vouchers/lookup", json={"code": code}).json
    assert json.loads(run("show", code, "--json").output) == record


def test_a_voucher_is_disabled_and_enabled(client, make, run):
    code = make.voucher()
    assert json.loads(run("disable", code, "--json").output)["disabled_at"]
    assert client.redeem(code).json["code"] == "voucher_disabled"
    assert json.loads(run("enable", code, "--json").output)["disabled_at"] is None
    assert client.redeem(code).status_code == 201


@pytest.mark.parametrize("command", ["show", "disable", "enable"])
def test_an_unknown_code_is_one_line_and_exit_code_1(run, command):
    ended = run(command, "0000-0000-0000")
    assert (ended.exit_code, ended.output) == (1, "Error: No voucher has this code.\n")
