"""`voucherpool vouchers export` and `import`."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import click

from voucherpool.cli import counted, deliver, interruptible, loaded, vouchers
from voucherpool.database import csv_files
from voucherpool.database.model import AnySelect
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.files import exporting, importing, layout
from voucherpool.files.encodings import encodings
from voucherpool.files.parsing import parsed
from voucherpool.files.schemas import ImportRequest
from voucherpool.input.errors import InvalidInput
from voucherpool.offers import service as offers


@vouchers.command()
@click.option("--offer", "offer_name", help="Write this offer's vouchers.")
@click.option("--batch", "batch_id", type=int, help="Write this batch's vouchers.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file.")
@click.option("--bom", is_flag=True, help="Begin with a byte order mark, for Excel.")
def export(offer_name: str | None, batch_id: int | None, output: Path | None, *, bom: bool) -> None:
    """Write the vouchers of an offer or batch as CSV.

    The file can be read by its owner only. Without --output it is standard output.
    """
    again = f"{output or 'The output'} is not complete: run it again."
    with interruptible(lambda: again), TemporaryFile() as file:
        with long_transaction():
            chosen = _chosen(offer_name, batch_id)
            length = exporting.count(chosen) if output else 0
            with click.progressbar(length=length, file=sys.stderr, hidden=not output) as bar:
                written = csv_files.write(file, layout.columns, chosen, bar.update, bom=bom)
        deliver(file, output)
    click.echo(f"Wrote {counted(written, 'voucher')} to {output or 'standard output'}.", err=True)


def _chosen(offer_name: str | None, batch_id: int | None) -> AnySelect:
    if offer_name is not None and batch_id is None:
        return exporting.of_offer(offers.id_of(offer_name))
    if batch_id is not None and offer_name is None:
        return exporting.of_batch(batch_id)
    raise click.UsageError("Give --offer or --batch.")


@vouchers.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--offer", "offer_name", required=True, help="The offer of the vouchers.")
@click.option("--expiry", help="For lines without one: a day, such as 2030-12-31, or a moment.")
@click.option("--timezone", help="Of the days, such as Europe/Berlin; the shop's without it.")
@click.option("--encoding", type=click.Choice(encodings), help="Of the file; utf-8 without it.")
@click.option(
    "--on-conflict",
    type=click.Choice(("refuse", "skip")),
    help="What to do with codes that exist; refuse without it.",
)
@click.option("--create-customers", is_flag=True, help="Make unknown e-mails customers.")
def import_(file: Path, offer_name: str, create_customers: bool, **options: str | None) -> None:
    """Issue the vouchers of a CSV file: all or none."""
    terms = loaded(ImportRequest(), options | {"create_customers": str(create_customers).lower()})
    with transaction():
        offer_id = offers.id_of(offer_name)
        readers = importing.readers(offer_id, terms.pop("timezone"))
    again = f"All of {file} is imported or nothing: run it again."
    with _one_reason_a_line(), interruptible(lambda: again), ExitStack() as reading:
        size = file.stat().st_size
        with click.progressbar(length=size, label="Reading", file=sys.stderr) as bar:
            encoding = terms.pop("encoding")
            rows = reading.enter_context(parsed(file, readers, bar.update, encoding=encoding))
        with long_transaction():
            size = rows.size()
            with click.progressbar(length=size, label="Copying", file=sys.stderr) as bar:
                importing.copy(rows, terms.pop("expires_at", None), bar.update)
            click.echo("Checking and issuing the vouchers.", err=True)
            done = importing.issue_all(rows, offer_id, **terms)
    click.echo(f"Imported {counted(done.imported, 'voucher')}.")
    if done.skipped:
        click.echo(f"Skipped {counted(done.skipped, 'line')} whose code exists.")
    if done.customers_created:
        click.echo(f"Created {counted(done.customers_created, 'customer')}.")


@contextmanager
def _one_reason_a_line() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        for where, reasons in (error.errors or {}).items():
            for reason in reasons:
                click.echo(f"{where}: {reason}", err=True)
        raise click.ClickException("Nothing was imported.") from error
