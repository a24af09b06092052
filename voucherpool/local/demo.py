"""`voucherpool demo`: a voucher's whole life over HTTP, on a service of its own."""

import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import click

from voucherpool.local.processes import is_serving, python
from voucherpool.local.start import host
from voucherpool.operations.processes import on_stop_signals

slowest_start_seconds = 180
seconds_between_looks = 0.2
expiry = "2099-12-31T23:59:59Z"
ada, bela = "customer0@gmail.com", "customer1@gmail.com"  # of the seeds
order = {"order_ref": "ORDER-1001", "order_amount": 59.9, "currency": "EUR"}


@click.command()
def demo() -> None:
    """Show the life of a voucher, in half a minute.

    It starts a service of its own, with data that it deletes at the end.
    """
    on_stop_signals(lambda *_: sys.exit(130))
    click.echo("Starting a service with new data.")
    with _service() as port:
        _tell(Client(port))
    click.echo("\n`make run` serves it; its /docs lets you try every route.")


class Client:
    """Calls the service, and shows each call with its answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def show(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Print a call and its answer; return the answer's value."""
        sent = json.dumps(body) if body else ""
        click.echo(f"   {method} {path} {sent}".rstrip())
        status, value = self.call(method, path, body)
        click.echo(f"   {status} {json.dumps(_shortened(value))}")
        return value

    def call(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> tuple[int, Any]:
        """Return the status and the value of an answer. Raises OSError."""
        with closing(HTTPConnection(host, self._port, timeout=10)) as connection:
            connection.request(method, path, json.dumps(body) if body else None)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())


def _shortened(value: Mapping[str, object]) -> dict[str, object]:
    """Return an answer without what a person does not look for."""
    left_out = {"type", "title", "request_id", "status", "days", "rate", "notify", "offer_id"}
    return {k: v for k, v in value.items() if k not in left_out and v is not None}


def _tell(client: Client) -> None:
    _say("A pool of 1000 codes, made in the background")
    batch = client.show("POST", "/offers/3/batches", {"count": 1000, "expiry": expiry})
    while not batch["finished_at"]:
        time.sleep(seconds_between_looks)
        _, batch = client.call("GET", f"/batches/{batch['id']}")
    client.show("GET", f"/batches/{batch['id']}")
    _say("A customer claims one")
    voucher = client.show("POST", "/vouchers/claim", {"email": ada, "offer_name": "BLACK FRIDAY"})
    code = {"code": voucher["code"]}
    _say("The checkout asks what it would take off")
    client.show("POST", "/vouchers/check", {**code, "email": ada, **order})
    _say("A stranger tries the code: it looks like one that does not exist")
    client.show("POST", "/vouchers/redeem", {**code, "email": bela, **order})
    _say("The customer redeems it")
    client.show("POST", "/vouchers/redeem", {**code, "email": ada, **order})
    _say("The network fails, the shop repeats: the same redemption, not a second one")
    client.show("POST", "/vouchers/redeem", {**code, "email": ada, **order})
    _say("Another order tries it")
    again = {**order, "order_ref": "ORDER-1002"}
    client.show("POST", "/vouchers/redeem", {**code, "email": ada, **again})
    _say("The statistics")
    client.show("GET", "/offers/3/stats")


def _say(text: str) -> None:
    click.echo(f"\n{click.style(text, bold=True)}")


@contextmanager
def _service() -> Iterator[int]:
    """Run `voucherpool start` on a free port with data that are removed at the end."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="voucherpool-demo-") as folder:
        Path(folder).chmod(0o711)  # root's PostgreSQL runs as nobody and must get in
        environment = {**os.environ, "PORT": str(port), "DATABASE_URL": ""}
        start = ("voucherpool", "start", "--directory", folder)
        with (
            open(Path(folder, "log"), "wb") as log,
            python(environment, *start, output=log.fileno()) as process,
        ):
            if not is_serving(host, port, process, slowest_start_seconds):
                said = Path(log.name).read_text().strip()
                raise click.ClickException(f"The service did not start: {said}")
            yield port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
