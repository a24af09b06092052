"""The shops of docs/examples/: an order from the cart to its cancellation, and the events of it."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from ipaddress import ip_network
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.builders import ana
from tests.patience import most_seconds, until
from tests.server import free_port, wait_until_listening
from voucherpool.config.settings import checkout

secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
packages = checkout / ".venv" / "express" / "node_modules"
redeemed = {
    "type": "voucher.redeemed",
    "data": {"redemption": {"order_ref": "1001", "discount_amount": 13.24}},
}


@dataclass
class Shop:
    """A running shop."""

    port: int

    def send(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, Any]:
        """Send a request and return the status and the JSON of the answer."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=most_seconds)) as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"} | given)
            answer = connection.getresponse()
            content = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return answer.status, json.loads(content) if is_json else None

    def order(self, code: str, ref: str = "1001") -> tuple[int, Any]:
        """Put an order of 59.90 with a voucher into the cart."""
        order = {"ref": ref, "email": ana, "code": code, "amount": "59.90"}
        return self.send("POST", "/orders", json.dumps(order))

    def do(self, step: str, ref: str = "1001") -> tuple[int, Any]:
        """Take a step of an order."""
        return self.send("POST", f"/orders/{ref}/{step}")

    def booked(self) -> float:
        """Return what the events of the order took off."""
        return float(self.send("GET", "/orders/1001")[1]["booked"])

    def deliver(self, event: object, key: str = secret, age: float = 0, **changes: str) -> int:
        """Send an event as the service would, signed so many seconds ago; return the status."""
        body, moment = json.dumps(event), datetime.now(UTC) - timedelta(seconds=age)
        headers = {
            "webhook_id": "msg_1",
            "webhook_timestamp": str(int(moment.timestamp())),
            "webhook_signature": Webhook(key).sign("msg_1", moment, body),
        }
        return self.send("POST", "/events", body, **headers | changes)[0]


def django(folder):
    """Return the command of the shop in Django."""
    return [sys.executable, checkout / "docs" / "examples" / "shop_django.py"]


def express(folder):
    """Return the command of the shop in Express, beside its packages."""
    node = shutil.which("node")
    if node is None or not packages.exists():
        pytest.skip("needs Node and npm: `make test` installs Express then")
    (folder / "node_modules").symlink_to(packages)
    return [node, shutil.copy(checkout / "docs" / "examples" / "shop_express.mjs", folder)]


@pytest.fixture(params=[django, express], ids=["django", "express"])
def open_shop(request, server, tmp_path):
    """Return a function that starts a shop with the secret of a webhook, on a port."""
    running = []
    command = request.param(tmp_path)

    def run(secret, port):
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(checkout / "client"),
            "VOUCHERPOOL_URL": f"http://127.0.0.1:{server.port}",
            "VOUCHERPOOL_KEY": server.key,
            "VOUCHERPOOL_WEBHOOK_SECRET": secret,
            "SHOP_DATABASE": str(tmp_path / "shop.sqlite3"),
            "PORT": str(port),
        }
        running.append(subprocess.Popen(command, cwd=tmp_path, env=environment))
        wait_until_listening(port, running[-1])
        return Shop(port)

    yield run
    for process in running:
        process.kill()
        process.wait(most_seconds)


@pytest.fixture
def shop(open_shop):
    return open_shop(secret, free_port())


def uses(sql):
    """Return how often vouchers count as redeemed, and how many are held."""
    [[count, holds]] = sql("SELECT sum(redemption_count), count(holds) FROM vouchers")
    return count, holds


def test_an_order_holds_redeems_once_and_gives_back(shop, make, sql):
    status, shown = shop.order(make.voucher())
    assert (status, float(shown["discount"])) == (201, 13.24)
    assert uses(sql) == (0, 0)
    assert shop.do("payment") == (204, None)
    assert uses(sql) == (0, 1)
    assert [shop.do("payment-succeeded")[0] for _ in range(2)] == [204, 204]
    assert uses(sql) == (1, 0)
    _, order = shop.send("GET", "/orders/1001")
    assert (order["state"], float(order["discount"])) == ("paid", 13.24)
    assert [shop.do("cancel")[0] for _ in range(2)] == [204, 204]
    assert uses(sql) == (0, 0)


def test_a_failed_payment_leaves_the_voucher_to_others(shop, make, sql):
    code = make.voucher()
    shop.order(code)
    assert shop.do("payment") == (204, None)
    assert uses(sql) == (0, 1)
    assert shop.do("payment-failed") == (204, None)
    assert uses(sql) == (0, 0)


def test_a_code_that_does_not_redeem_is_refused_in_the_cart_and_before_the_payment(shop, make):
    assert shop.order("unknown") == (409, {"reason": "voucher_not_found"})
    code = make.voucher()
    for ref in ("1001", "1002"):
        assert shop.order(code, ref)[0] == 201
    shop.do("payment-succeeded")
    assert shop.do("payment", "1002") == (409, {"reason": "voucher_already_redeemed"})


def test_an_event_counts_once_however_often_it_comes(shop, make):
    shop.order(make.voucher())
    assert [shop.deliver(redeemed) for _ in range(2)] == [204, 204]
    assert shop.booked() == 13.24


def test_an_event_that_is_forged_or_old_changes_nothing(shop, make):
    shop.order(make.voucher())
    for forged in (
        {"key": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"age": 600},
        {"age": -600},
        {"webhook_id": "msg_2"},
        {"webhook_signature": "nonsense"},
        {"webhook_signature": ""},
    ):
        assert shop.deliver(redeemed, **forged) == 400, forged
    assert shop.booked() == 0


def test_the_service_delivers_what_the_shop_books(
    open_shop, app, client, voucherpool, make, monkeypatch
):
    monkeypatch.setitem(app.config, "WEBHOOKS_ALLOW", (ip_network("127.0.0.0/8"),))
    port = free_port()
    hook = {"url": f"http://127.0.0.1:{port}/events"}
    hook |= {"event_types": ["voucher.redeemed", "redemption.reversed"]}
    shop = open_shop(client.post("/webhooks", json=hook).json["secret"], port)
    voucherpool("worker", VOUCHERPOOL_WEBHOOKS_ALLOW="127.0.0.0/8")
    shop.order(make.voucher())
    shop.do("payment-succeeded")
    until(lambda: shop.booked() == 13.24)
    shop.do("cancel")
    until(lambda: shop.booked() == 0)
