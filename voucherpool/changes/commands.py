"""`voucherpool vouchers change`: changes many vouchers in this process."""

import sys
import time
from functools import partial

import click
from flask import current_app

from voucherpool.changes import changing, service
from voucherpool.changes.schemas import NewChange
from voucherpool.changes.terms import chosen
from voucherpool.cli import counted, in_long_transaction, loaded, vouchers
from voucherpool.database.transactions import long_transaction
from voucherpool.offers import service as offers


@vouchers.command()
@click.option("--offer", "offer_name", help="Change the vouchers of the offer with this name.")
@click.option("--batch", "batch_id", type=int, help="Change the vouchers of this batch.")
@click.option("--expiry", help="A day, such as 2030-12-31, or a moment with an offset, or never.")
@click.option("--extend", help="Add days to each expiry, such as 7d.")
@click.option("--disable/--enable", "disabled", default=None)
@click.option("--only", type=click.Choice(tuple(chosen)), help="By default all.")
@click.option("--reason", help="Why; needed to disable.")
@click.option("--dry-run", is_flag=True, default=None, help="Only count.")
@click.option("--resume", "change_id", type=int, help="Finish this change instead.")
def change(
    offer_name: str | None, batch_id: int | None, change_id: int | None, **options: object
) -> None:
    """Change or disable the vouchers of an offer or a batch.

    If it is interrupted, continue with --resume. A running worker continues it too.
    """
    terms = {name: value for name, value in options.items() if value is not None}
    given = [which for which in (offer_name, batch_id, change_id) if which is not None]
    if len(given) != 1 or (change_id is not None and terms):
        raise click.UsageError("Give --offer or --batch, or only --resume with a change's id.")
    with long_transaction():
        if offer_name is not None:
            begun = service.change_offer(offers.id_of(offer_name), **_new_change(terms))
        elif batch_id is not None:
            begun = service.change_batch(batch_id, **_new_change(terms))
        else:
            begun = service.read(given[0])  # type: ignore[arg-type]
    _finish(begun)


def _new_change(terms: dict[str, object]) -> dict[str, object]:
    if "extend" in terms:
        if "expiry" in terms:
            raise click.UsageError("Give --expiry or --extend, not both.")
        terms["expiry"] = {"add": terms.pop("extend")}
    return {**loaded(NewChange(), terms), "timezone": current_app.config["TIMEZONE"]}


def _finish(change: service.Progress) -> None:
    """Work on a change until it is finished; workers may work on it too."""
    click.echo(f"Change {change.id}. If interrupted, continue with --resume {change.id}.", err=True)
    with click.progressbar(length=change.matched or 1, file=sys.stderr) as bar:
        while change.finished_at is None:
            advanced = in_long_transaction(partial(changing.advance, change.id))
            change = in_long_transaction(partial(service.read, change.id))
            bar.length = change.matched or 1
            bar.update(change.changed + change.skipped - bar.pos)
            if not advanced:
                time.sleep(0.2)
    if change.state != "done":
        raise click.ClickException(f"Change {change.id} is {change.state}. {change.error or ''}")
    done = "Would change" if change.dry_run else "Changed"
    click.echo(f"{done} {counted(change.changed, 'voucher')} of {change.matched} that match.")
