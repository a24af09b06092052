"""`make console`: a campaign's life on the console in a real browser, and pictures of each page.

SCREENSHOTS names the folder of the pictures, and AXE the file axe.min.js of the npm package
axe-core, with which each page is then checked for what keeps people out.
"""

import base64
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask_migrate

from tests.conftest import config, memory
from tests.page_check import Browser, browser  # noqa: F401 (a fixture)
from tests.patience import most_seconds
from tests.server import run_gunicorn, secret_key, start_python
from tests.shop import Shop, open_shop
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import checkout
from voucherpool.console.users import service as users
from voucherpool.database.transactions import transaction
from voucherpool.local.client import Client
from voucherpool.local.postgres import LocalPostgres
from voucherpool.local.shop import fill
from voucherpool.operations import seeding

password = "correct horse battery staple"
ada = "customer1@gmail.com"
tenths = 10 * most_seconds
allowed = {"VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.0/8"}


class Console:
    """The console in a browser."""

    def __init__(self, page: Browser, address: str) -> None:
        self._browser, self._address = page, address

    def load(self, path: str) -> None:
        """Load a page."""
        self._leave(lambda: self._browser.send("Page.navigate", url=f"{self._address}{path}"))

    def press(self, label: str, **fields: str) -> None:
        """Fill the fields in, and press the visible button with the label."""
        self._leave(lambda: self.run(press, label=label, fields=fields))

    def see(self, words: str) -> None:
        """Wait until the page shows the words, as pages do that renew themselves."""
        for _ in range(tenths):
            if words in self.words():
                return
            time.sleep(0.1)
        raise AssertionError(f"not shown: {words}\n{self.words()}")

    def words(self) -> str:
        """Return the words of the page."""
        return str(self.run("return document.body?.innerText ?? '';"))

    def run(self, script: str, **values: Any) -> Any:
        """Run a script in the page with these values, and return what it returns."""
        given = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
        wrapped = f"(() => {{ {given} {script} }})()"
        answer = self._browser.send("Runtime.evaluate", expression=wrapped, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def photograph(self, name: str) -> None:
        """Take pictures on a phone and on a screen, light and dark; no page is too wide."""
        for wide, shade in ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")):
            scheme = [{"name": "prefers-color-scheme", "value": shade}]
            scheme.append({"name": "prefers-reduced-motion", "value": "reduce"})  # else it fades
            self._browser.send("Emulation.setEmulatedMedia", features=scheme)
            screen = {"width": wide, "height": 900, "deviceScaleFactor": 1, "mobile": wide < 500}
            self._browser.send("Emulation.setDeviceMetricsOverride", **screen)
            if axe := os.environ.get("AXE"):
                found = self._found_by_axe(Path(axe).read_text())
                assert found == [], (name, wide, shade, found)
            high, width = self.run(size)
            assert width <= wide, (name, wide, width)
            clip = {"x": 0, "y": 0, "width": wide, "height": min(high, 2200), "scale": 1}
            taken = {"clip": clip, "captureBeyondViewport": True}
            picture = self._browser.send("Page.captureScreenshot", **taken)["data"]
            if folder := os.environ.get("SCREENSHOTS"):
                Path(folder).mkdir(parents=True, exist_ok=True)
                Path(folder, f"{name}-{wide}-{shade}.png").write_bytes(base64.b64decode(picture))

    def _found_by_axe(self, source: str) -> Any:
        """Return what axe finds wrong: rules and elements."""
        wrapped = f"(async () => {{ {source}; {axe_run} }})()"
        asked = {"expression": wrapped, "awaitPromise": True, "returnByValue": True}
        return self._browser.send("Runtime.evaluate", **asked)["result"].get("value")

    def _leave(self, how: Any) -> None:
        """Leave the page, and wait until the next one is there."""
        self.run("document.documentElement.dataset.left = '1';")
        how()
        for _ in range(tenths):
            with suppress(AssertionError):  # between two pages no script runs
                if self.run(is_there):
                    return
            time.sleep(0.1)
        raise AssertionError("no page came")


is_there = "return document.readyState == 'complete' && !document.documentElement.dataset.left;"
axe_run = """
    const found = await axe.run();
    return found.violations.map(one => [one.id, one.nodes.map(node => node.html).slice(0, 3)]);
"""
size = "const page = document.scrollingElement; return [page.scrollHeight, page.scrollWidth];"
press = """
    const button = [...document.querySelectorAll('main button, main a[role=button], header button')]
        .find(one => one.innerText.includes(label) || one.textContent.includes(label));
    if (!button) throw new Error('no button ' + label);
    button.closest('details')?.setAttribute('open', '');
    for (const [name, value] of Object.entries(fields))
        for (const field of button.form.querySelectorAll(`[name="${name}"]`)) field.value = value;
    button.click();
"""


@contextmanager
def service() -> Iterator[tuple[Shop, int]]:
    """Run the service and a worker on a database with some months of a shop."""
    with memory("console") as home:
        postgres = LocalPostgres(home / "postgres")
        postgres.start()
        app = create_app(config(postgres.url()))
        with app.app_context():
            flask_migrate.upgrade()
            with transaction():
                seeding.load(checkout / "seeds")
                users.choose_password(users.add("ana@shop.example", "admin"), password)
                key = apikeys.create("demo", apikeys.scopes)
        api = open_shop(app)
        settings = {"VOUCHERPOOL_SECRET_KEY": secret_key, **allowed}
        worker = start_python(postgres.url(), "voucherpool", "worker", environ=settings)
        try:
            with run_gunicorn(postgres.url(), **settings) as port:
                fill(Client(port, key), postgres.url(), "UTC")
                yield api, port
        finally:
            worker.terminate()
            worker.wait(most_seconds)


def test_a_campaign_lives_its_life_in_a_browser(browser: Browser) -> None:  # noqa: F811
    with service() as (shop, port):
        console = Console(browser, f"http://127.0.0.1:{port}/console")
        console.load("/")
        console.photograph("sign-in")
        console.press("Sign in", email="ana@shop.example", password=password)
        console.see("Redeemed today")
        console.photograph("overview")
        assert browser.told("Runtime.exceptionThrown") == []
        batch_id, code = campaign(console, shop)
        life(console, shop, code)
        change(console, batch_id)
        for path, name in others.items():
            console.load(path)
            console.photograph(name)
        console.load("/")
        console.press("Sign out")
        console.see("Password")
    entries = [entry["entry"] for entry in browser.told("Log.entryAdded")]
    assert [entry for entry in entries if "Content Security Policy" in entry["text"]] == []


others = {
    "/offers": "offers",
    "/offers/4": "offer",
    "/offers/4/change": "offer-change",
    "/customers": "customers",
    "/customers/11": "customer",
    "/redemptions": "redemptions",
    "/activity": "activity",
    "/schedules": "automation",
    "/nothing": "no-page",
}
"""The pages that the life of the campaign has not shown, and the names of their pictures."""


def campaign(console: Console, shop: Shop) -> tuple[int, str]:
    """Make an offer and 1 000 vouchers, and return the batch and the code of one."""
    console.load("/offers/new")
    console.press("Create the offer", name="Cyber Week", discount="thirty")
    console.photograph("offer-form")
    console.press("Create the offer", name="Cyber Week", discount="30")
    console.press("New campaign")
    last_day = f"{datetime.now(UTC).year + 1}-12-31"
    wanted = {"count": "1000", "expiry": last_day, "prefix": "BLACK"}
    console.press("Show examples", **wanted)
    console.see("so the codes will look")
    console.photograph("campaign-form")
    console.press("Make the vouchers", **wanted)
    console.see("1,000 of 1,000 vouchers")
    console.photograph("batch")
    console.see("Download the codes (CSV)")
    batch_id = int(console.run("return location.pathname.split('/').at(-1);"))
    found = shop.post("/vouchers/search", json={"batch_id": batch_id, "limit": 1})
    [voucher] = found.json["items"]
    return batch_id, str(voucher["code"])


def life(console: Console, shop: Shop, code: str) -> None:
    """Look the voucher up, redeem it, give it back, and see why it is refused."""
    console.load("/vouchers")
    console.photograph("vouchers")
    console.press("Look up", code=code.lower().replace("-", " "))
    console.see("Would redeem now for any customer")
    redeemed = shop.redeemed(code, email=ada, order_ref="BF-1", order_amount=80, currency="EUR")
    console.press("Look up", code=code)
    console.see("Was redeemed on")
    console.press("Give this use back", reason="The order was cancelled")
    console.see("Would redeem now")
    console.press("Disable the voucher", reason="It stood in a forum")
    console.see("Is disabled since")
    assert shop.redeem(code, email=ada, order_ref="BF-2").status_code == 409
    console.press("Look up", code=code)
    console.see("This voucher is disabled.")
    console.press("Enable the voucher", reason="It did not")
    console.press("Change the voucher", expiry="2099-12-31", reason="To make up for it")
    console.see("The voucher is changed.")
    console.photograph("voucher")
    assert redeemed["discount"] == 30


def change(console: Console, batch_id: int) -> None:
    """Extend the vouchers of the batch, after they were counted."""
    console.load(f"/batches/{batch_id}/vouchers")
    console.photograph("change-form")
    console.press("Count first", what="add", days="7", reason="The printer was late")
    console.see("vouchers would change")
    console.photograph("change-count")
    console.press("Do it")
    console.see("done")
    console.photograph("change")
