"""The programs of docs/examples/ and the calls of the pages, run as they are against a service."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import most_seconds
from tests.server import any_guesses, run_gunicorn, secret_key
from voucherpool.config.settings import checkout, durability
from voucherpool.database.transactions import transaction
from voucherpool.operations import seeding

folder = checkout / "docs" / "examples"
interpreters = {".py": sys.executable, ".mjs": shutil.which("node"), ".sh": shutil.which("sh")}
mistakes_of_the_shop = {
    *("malformed_json", "malformed_body", "body_too_large", "unsupported_media_type"),
    *("api_key_required", "api_key_invalid", "scope_missing", "validation_failed"),
    *("idempotency_key_reused", "currency_required", "order_amount_required"),
    *("order_mismatch", "redemption_reversed"),
}
repeated = {"database_unavailable", "outcome_unknown"}
programs = pytest.mark.parametrize(
    "program", sorted(folder.glob("checkout.*")), ids=lambda it: it.name
)


@programs
def test_it_issues_checks_redeems_and_tells_the_customer_of_a_refusal(program, app, server):
    interpreter = interpreters[program.suffix]
    if interpreter is None or (program.suffix == ".sh" and shutil.which("curl") is None):
        pytest.skip("what runs it is not installed")
    with app.app_context(), transaction():
        seeding.load(checkout / "seeds")
    finished = subprocess.run(
        [interpreter, program],
        env={
            "PATH": f"{Path(interpreter).parent}:/usr/bin:/bin",
            "VOUCHERPOOL_URL": f"http://127.0.0.1:{server.port}",
            "VOUCHERPOOL_KEY": server.key,
            "PYTHONPATH": str(checkout / "client"),
        },
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    checked, redeemed, second, told = finished.stdout.splitlines()
    assert re.fullmatch(r"[0-9A-Z-]{14} takes 13.24 off\.", checked)
    assert re.fullmatch(r"Redeemed: 13.24 off, redemption [0-9a-f-]{36}\.", redeemed)
    assert re.fullmatch(r"Redeemed: 10.31 off, redemption [0-9a-f-]{36}\.", second)
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


pages = [
    "README.md",
    # test_start.py compares each answer of the guide, once.
    pytest.param("docs/guide.md", marks=pytest.mark.long),
]
with_key = """curl() { command curl -H "Authorization: Bearer $VOUCHERPOOL_KEY" "$@"; }"""
end_of_block = "--- end of block ---"


def blocks(page):
    """Return each block of calls with the answer that the page shows to it, or None."""
    found = re.findall("```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?", page, re.DOTALL)
    return [(calls, json.loads(answer) if answer else None) for calls, answer in found]


def shape(value):
    """Return the names in an answer, without its values."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    return [shape(part) for part in value[:1]] if isinstance(value, list) else None


@pytest.fixture
def paste(app, database_url, key, voucherpool, tmp_path):
    """Return a function that runs calls in a shell, with a service and a worker on the seeds."""
    with app.app_context(), transaction():
        seeding.load(checkout / "seeds")
    allowed = {"VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.0/8"}
    voucherpool("worker", **allowed)
    (tmp_path / "var").mkdir()
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": database_url.render_as_string(hide_password=False),
        "VOUCHERPOOL_TOLERATE_OFF": ",".join(durability),
        "VOUCHERPOOL_SECRET_KEY": secret_key,
        "VOUCHERPOOL_KEY": key,
    }
    with run_gunicorn(database_url, **any_guesses, **allowed) as port:

        def run(calls):
            script = calls.replace("127.0.0.1:5000", f"127.0.0.1:{port}")
            return subprocess.run(
                [shutil.which("bash"), "-c", f"{with_key}\n{script}"],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=10 * most_seconds,
            )

        yield run


@pytest.mark.parametrize("page", pages)
def test_the_calls_of_a_page_get_the_answers_that_it_shows_and_can_be_pasted_twice(page, paste):
    if shutil.which("bash") is None or shutil.which("curl") is None:
        pytest.skip("what runs the calls is not installed")
    shown = blocks((checkout / page).read_text().replace("100000", "1000"))
    assert len(shown) > 3
    calls = "".join(f"{block}printf '\\n%s\\n' '{end_of_block}'\n" for block, _ in shown)
    # The commands take long to start, and keep nothing for the calls: once is enough.
    first, second = paste(calls), paste(f"voucherpool() {{ :; }}\n{calls}")
    assert not re.search("Traceback|Error|curl:|not found", first.stderr), first.stderr
    assert "Traceback" not in second.stderr
    printed = first.stdout.split(f"\n{end_of_block}\n")
    for (block, answer), output in zip(shown, printed[:-1], strict=True):
        if answer is not None:
            *_, last = output.rstrip("\n").split("\n")
            assert shape(json.loads(last)) == shape(answer), block
