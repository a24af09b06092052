"""The programs of docs/examples/, run as they are against a real service."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from voucherpool.config import checkout
from voucherpool.database.transactions import transaction
from voucherpool.operations import seeding

folder = checkout / "docs" / "examples"
interpreters = {".py": sys.executable, ".mjs": shutil.which("node"), ".sh": shutil.which("sh")}
mistakes_of_the_shop = {
    *("malformed_json", "malformed_body", "body_too_large", "unsupported_media_type"),
    *("api_key_required", "api_key_invalid", "scope_missing", "validation_failed"),
    *("idempotency_key_reused", "currency_required", "order_mismatch", "redemption_reversed"),
}
repeated = {"database_unavailable", "outcome_unknown"}
programs = pytest.mark.parametrize("program", sorted(folder.iterdir()), ids=lambda it: it.name)


@programs
def test_it_issues_checks_redeems_and_tells_the_customer_of_a_refusal(program, app, server):
    interpreter = interpreters[program.suffix]
    if interpreter is None or (program.suffix == ".sh" and shutil.which("curl") is None):
        pytest.skip("what runs it is not installed")
    with app.app_context(), transaction():
        seeding.plant(checkout / "seeds")
    finished = subprocess.run(
        [interpreter, program],
        env={
            "PATH": f"{Path(interpreter).parent}:/usr/bin:/bin",
            "VOUCHERPOOL_URL": f"http://127.0.0.1:{server.port}",
            "VOUCHERPOOL_KEY": server.key,
        },
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    checked, redeemed, told = finished.stdout.splitlines()
    assert re.fullmatch(r"[0-9A-Z-]{14} takes 13.24 off\.", checked)
    assert re.fullmatch(r"Redeemed: 13.24 off, redemption [0-9a-f-]{36}\.", redeemed)
    assert told == "This voucher has been used."


@programs
def test_it_knows_what_to_do_with_each_refusal(program, anonymous):
    document = anonymous.get("/openapi.json").json
    responses = document["paths"]["/vouchers/redeem"]["post"]["responses"]
    refusals = {
        code
        for response in responses.values()
        for content in response.get("content", {}).values()
        for code in content.get("examples", {})
    }
    text = program.read_text()
    told = {code for code in refusals if re.search(rf"\b{code}\b", text)}
    assert refusals - told == mistakes_of_the_shop | repeated
