"""`voucherpool demo`: a voucher's whole life over HTTP, and a shop in the console."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from voucherpool.config.settings import Config
from voucherpool.local import data, shop
from voucherpool.local.client import Client
from voucherpool.local.postgres import LocalPostgres
from voucherpool.local.processes import is_serving, python
from voucherpool.local.start import host, not_yet
from voucherpool.operations.processes import on_stop_signals

slowest_start_seconds = 180
expiry = "2099-12-31T23:59:59Z"
ada, bela = "customer0@gmail.com", "customer1@gmail.com"  # of the seeds
order = {"order_ref": "ORDER-1001", "order_amount": 59.9, "currency": "EUR"}


@click.command()
@click.option("--story", is_flag=True, help="End after the story, without the shop.")
def demo(*, story: bool) -> None:
    """Show the life of a voucher, and a shop in the console.

    It starts a service of its own, with data that it deletes at the end. The shop is served until
    Ctrl-C; PORT sets the port.
    """
    on_stop_signals(lambda *_: sys.exit(130))
    click.echo("Starting a service with new data.")
    with _service() as (port, folder, process):
        client = Client(port)
        _tell(client)
        if story:
            click.echo("\n`make run` serves it; its /docs lets you try every route.")
            return
        _say("A shop that has used vouchers for 90 days")
        config = Config.from_environment({**not_yet, **os.environ})
        shop.fill(client, LocalPostgres(data.postgres_of(folder)).url(), config.timezone)
        click.echo(f"   Look at it on http://{host}:{port}/console/")
        click.echo("   Ctrl-C stops it and deletes the data.")
        on_stop_signals(_stop)
        with suppress(KeyboardInterrupt):
            process.wait()
            raise click.ClickException("The service has stopped.")
    click.echo("Stopped. `make run` serves your own.")


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def _show(client: Client, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
    """Print a call and its answer; return the answer's value."""
    sent = json.dumps(body) if body else ""
    click.echo(f"   {method} {path} {sent}".rstrip())
    status, value = client.call(method, path, body)
    click.echo(f"   {status} {json.dumps(_shortened(value))}")
    return value


def _shortened(value: Mapping[str, object]) -> dict[str, object]:
    """Return an answer without what a person does not look for."""
    left_out = {"type", "title", "request_id", "status", "days", "rate", "notify", "offer_id"}
    return {k: v for k, v in value.items() if k not in left_out and v is not None}


def _tell(client: Client) -> None:
    _say("A pool of 1000 codes, made in the background")
    batch = _show(client, "POST", "/offers/3/batches", {"count": 1000, "expiry": expiry})
    client.wait_for(f"/batches/{batch['id']}")
    _show(client, "GET", f"/batches/{batch['id']}")
    _say("A customer claims one")
    voucher = _show(client, "POST", "/vouchers/claim", {"email": ada, "offer_name": "BLACK FRIDAY"})
    code = {"code": voucher["code"]}
    _say("The checkout asks what it would take off")
    _show(client, "POST", "/vouchers/check", {**code, "email": ada, **order})
    _say("A stranger tries the code: it looks like one that does not exist")
    _show(client, "POST", "/vouchers/redeem", {**code, "email": bela, **order})
    _say("The customer redeems it")
    _show(client, "POST", "/vouchers/redeem", {**code, "email": ada, **order})
    _say("The network fails, the shop repeats: the same redemption, not a second one")
    _show(client, "POST", "/vouchers/redeem", {**code, "email": ada, **order})
    _say("Another order tries it")
    again = {**order, "order_ref": "ORDER-1002"}
    _show(client, "POST", "/vouchers/redeem", {**code, "email": ada, **again})
    _say("The statistics")
    _show(client, "GET", "/offers/3/stats")


def _say(text: str) -> None:
    click.echo(f"\n{click.style(text, bold=True)}")


@contextmanager
def _service() -> Iterator[tuple[int, Path, subprocess.Popen[bytes]]]:
    """Run `voucherpool start` with data that are removed at the end; return its port and folder."""
    port = int(os.environ.get("PORT") or _free_port())
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
            yield port, Path(folder), process


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
