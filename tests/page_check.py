"""`make page`: in a real browser /docs keeps to its policy and runs every example.

Drives Chromium over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)
through a pipe, so nothing besides the browser needs to be installed.
"""

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import flask_migrate
import pytest

from tests.conftest import memory
from tests.patience import most_seconds
from tests.server import run_gunicorn
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import Config, checkout
from voucherpool.database.transactions import transaction
from voucherpool.local.postgres import LocalPostgres
from voucherpool.operations import seeding

names = ("chromium", "chromium-browser", "google-chrome")
chromium = next(filter(None, map(shutil.which, names)), None)

# Where Chromium reads commands and writes answers.
onto_3_and_4 = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)

authorize = """
    document.querySelector('.auth-wrapper .authorize').click();
    await until(() => document.querySelector('.auth-container input'));
    document.querySelector('.auth-container input').focus();
"""
authorized = """
    document.querySelector('.auth-btn-wrapper .authorize').click();
    document.querySelector('.auth-btn-wrapper .btn-done').click();
"""
is_authorized = "return document.querySelector('.auth-wrapper .authorize').matches('.locked');"
operations = """
    document.querySelectorAll('.opblock-tag[data-is-open=false]').forEach(tag => tag.click());
    await until(() => document.querySelectorAll('.opblock').length > 50);
    const blocks = [...document.querySelectorAll('.opblock')];
    return blocks.filter(block => !block.closest('.webhooks')).map(block => block.id);
"""
execute = """
    const block = document.getElementById(name);
    block.querySelector('.opblock-summary-control').click();
    await until(() => block.querySelector('.btn.execute'));
    for (const field of block.querySelectorAll('tr[data-param-name=redemption_id] input')) {
        field.focus();
        document.execCommand('insertText', false, redemption);
        await new Promise(done => setTimeout(done, 1000));  // what is typed is taken in late
    }
    block.querySelector('.btn.execute').click();
    await until(() => block.querySelector('.live-responses-table .response-col_status'));
    const answer = block.querySelector('.live-responses-table .response');
    const found = [answer.querySelector('.response-col_status').innerText, answer.innerText];
    block.querySelector('.opblock-summary-control').click();
    return found;
"""
width = "return document.scrollingElement.scrollWidth;"
tools = f"const tenths = {10 * most_seconds};"
tools += """
    const until = async found => {
        for (let tries = 0; tries < tenths && !found(); tries++)
            await new Promise(done => setTimeout(done, 100));
        if (!found()) throw new Error('not found: ' + found);
    };
    await until(() => document.querySelector('.opblock-tag'));
"""


class Browser:
    """One page of a headless Chromium, and the events that it reported."""

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        self._commands, self._answers = commands, answers
        self._numbers, self._left, self._session = itertools.count(1), b"", ""
        self.events: list[dict[str, Any]] = []
        page = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        session = {"sessionId": self._session} if self._session else {}
        command = {"id": number, "method": method, "params": parameters} | session
        self._commands.write(json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self.events.append(message)

    def run(self, script: str) -> Any:
        """Run a script in the page and return what it returns."""
        result = self.send(
            "Runtime.evaluate",
            expression=f"(async () => {{ {tools} {script} }})()",
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def told(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            read = self._answers.read(65536)
            assert read, "Chromium ended"
            self._left += read
        message, self._left = self._left.split(b"\0", 1)
        return dict(json.loads(message))


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Return a page of a Chromium that reaches nothing but this machine."""
    assert chromium, f"None of {', '.join(names)} is installed (Debian: apt install chromium)."
    to_browser, from_browser = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                onto_3_and_4,
                *map(str, (to_browser[0], from_browser[1])),
                chromium,
                "--headless=new",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--disable-background-networking",
                "--no-first-run",
                "--window-size=1280,1600",
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
            ],
            pass_fds=(to_browser[0], from_browser[1]),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        with open(to_browser[1], "wb", 0) as commands, open(from_browser[0], "rb", 0) as answers:
            yield Browser(commands, answers)
            process.terminate()
            process.wait(most_seconds)


@contextmanager
def service() -> Iterator[tuple[int, str]]:
    """Run the service as in production, on a seeded database, and return its port and a key."""
    with memory("page") as home:
        postgres = LocalPostgres(home / "postgres")
        postgres.start()
        app = create_app(Config(postgres.url()))
        with app.app_context():
            flask_migrate.upgrade()
            with transaction():
                seeding.load(checkout / "seeds")
                key = apikeys.create("page", apikeys.scopes)
        allowed = {"VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.0/8"}
        with run_gunicorn(postgres.url(), **allowed) as port:
            yield port, key


def test_each_example_runs_as_it_stands_and_nothing_leaves_this_machine(browser):
    with service() as (port, key):
        address = f"http://127.0.0.1:{port}"
        browser.send("Page.navigate", url=f"{address}/docs")
        browser.run(authorize)
        browser.send("Input.insertText", text=key)
        browser.run(authorized)
        # The page keeps the key when it is loaded again.
        browser.send("Page.navigate", url=f"{address}/docs")
        assert browser.run(is_authorized)
        photograph(browser, 1280, "wide")
        refused, redemption = {}, ""
        blocks = [name for name in browser.run(operations) if not name.endswith("nsubscribe")]
        for name in blocks:
            status, answer = browser.run(
                f"const name = {json.dumps(name)}, redemption = {json.dumps(redemption)};{execute}"
            )
            if name.endswith("-validateVoucher"):
                redemption = re.search(r'"redemption_id":\s*"([^"]+)"', answer)[1]
            if not status.startswith("2"):
                refused[name] = answer
        photograph(browser, 390, "phone")
    asked = [event["request"]["url"] for event in browser.told("Network.requestWillBeSent")]
    assert refused == {}
    assert len(asked) > len(blocks) > 50
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    assert browser.told("Runtime.exceptionThrown") == []
    entries = [entry["entry"] for entry in browser.told("Log.entryAdded")]
    assert [entry for entry in entries if entry["level"] == "error"] == []


def photograph(browser: Browser, pixels: int, name: str) -> None:
    """Show the page on a screen of that width, which it must fit; SCREENSHOTS names a folder."""
    screen = {"width": pixels, "height": 1600, "deviceScaleFactor": 1, "mobile": pixels < 500}
    browser.send("Emulation.setDeviceMetricsOverride", **screen)
    time.sleep(1)
    assert browser.run(width) <= pixels
    picture = browser.send("Page.captureScreenshot")["data"]
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder, f"{name}.png").write_bytes(base64.b64decode(picture))
