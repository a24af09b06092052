"""`voucherpool vouchers issue`, which generates a batch in this process, and `batches`."""

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import click

from voucherpool.batches import generating, service
from voucherpool.batches.schemas import Batch, NewBatch, all_customers, pool
from voucherpool.cli import (
    Group,
    counted,
    in_long_transaction,
    interruptible,
    loaded,
    root,
    vouchers,
)
from voucherpool.database.transactions import long_transaction
from voucherpool.offers import service as offers
from voucherpool.printing import as_json, print_record, print_rows

shown_at_once = 100


@root.group(cls=Group)
def batches() -> None:
    """List batches, and show their progress."""


@batches.command(name="list")
@click.option("--offer", "offer_name", help="Only those of this offer.")
@as_json
def list_newest(offer_name: str | None, as_json: bool) -> None:
    """List the newest 100 batches."""
    offer_id = None if offer_name is None else offers.id_of(offer_name)
    found = Batch().dump(service.newest(shown_at_once, offer_id), many=True)
    shown = ("id", "offer_id", "state", "requested", "created", "created_at", "finished_at")
    print_rows(found, shown, as_json)


@batches.command()
@click.argument("batch_id", type=int)
@as_json
def show(batch_id: int, as_json: bool) -> None:
    """Show the batch BATCH_ID and its progress."""
    print_record(Batch().dump(service.read(batch_id)), {}, as_json)


@vouchers.command()
@click.argument("offer_name", required=False)
@click.option("--count", type=int, help="How many; for customers, how many each (default 1).")
@click.option("--expiry", help="A day, such as 2030-12-31, or a moment with an offset, or never.")
@click.option("--valid-for", help="Once claimed, to the end of a day: such as P30D or P6M.")
@click.option("--length", type=int, help="Random characters of a code, 10 to 32 (default 12).")
@click.option("--prefix", help="The beginning of each code.")
@click.option("--pattern", help="Such as KOI-####-####-##, instead of length and prefix.")
@click.option("--max-redemptions", type=int, help="How often each may be redeemed (default 1).")
@click.option("--freeze-discount", is_flag=True, default=None, help="Keep the current discount.")
@click.option(
    "--audience",
    multiple=True,
    help=f"{pool} (default), {all_customers}, or an e-mail, once for each customer.",
)
@click.option("--notify", is_flag=True, default=None, help="Send the customers an e-mail.")
@click.option("--resume", "batch_id", type=int, help="Finish this batch instead.")
def issue(
    offer_name: str | None, batch_id: int | None, audience: tuple[str, ...], **options: object
) -> None:
    """Issue many vouchers of an offer.

    If it is interrupted, continue with --resume. A running worker continues it too.
    """
    words = audience[0] if audience in ((pool,), (all_customers,)) else list(audience)
    given = {**options, "audience": words or None}
    terms = {name: value for name, value in given.items() if value is not None}
    with long_transaction():
        if offer_name is not None and batch_id is None:
            batch = service.create(offers.id_of(offer_name), **_new_batch(terms))
        elif batch_id is not None and offer_name is None and not terms:
            batch = service.resume(batch_id)
        else:
            raise click.UsageError("Give an offer's name, or only --resume with a batch's id.")
    _finish(batch)


def _new_batch(terms: Mapping[str, object]) -> Any:
    code = {name: terms[name] for name in ("length", "prefix", "pattern") if name in terms}
    rest = {name: value for name, value in terms.items() if name not in code}
    return loaded(NewBatch(), {**rest, "code": code})


def _finish(batch: service.Progress) -> None:
    """Work on a batch until it is finished; workers may work on it too."""
    click.echo(f"Issuing batch {batch.id}.", err=True)
    with (
        interruptible(lambda: _how_to_go_on(batch)),
        click.progressbar(length=batch.requested, file=sys.stderr) as bar,
    ):
        while batch.finished_at is None:
            advanced = in_long_transaction(partial(generating.advance, batch.id))
            batch = in_long_transaction(partial(service.read, batch.id))
            bar.update(batch.created - bar.pos)
            if not advanced:
                time.sleep(0.2)
    if batch.error:
        raise click.ClickException(f"Batch {batch.id} failed: {batch.error}")
    click.echo(f"Issued {counted(batch.created, 'voucher')} in batch {batch.id}.")


def _how_to_go_on(batch: service.Progress) -> str:
    return (
        f"Batch {batch.id} has {batch.created} of {counted(batch.requested, 'voucher')}: a running"
        f" worker goes on, and so does `voucherpool vouchers issue --resume {batch.id}`."
    )
