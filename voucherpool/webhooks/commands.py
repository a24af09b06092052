"""`voucherpool webhooks`."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import click
from flask import current_app
from sqlalchemy import func, select

from voucherpool.cli import Group, counted, in_long_transaction, root
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.events.numbering import Numbered
from voucherpool.printing import as_json, print_rows
from voucherpool.webhooks import schemas, service
from voucherpool.webhooks.delivery import delivering, signing
from voucherpool.webhooks.delivery.addresses import Policy

shown_at_once = 100


@contextmanager
def readable() -> Iterator[None]:
    """Say in one line that no key reads a secret."""
    try:
        yield
    except signing.SecretUnreadable as error:
        raise click.ClickException("No key of VOUCHERPOOL_SECRET_KEY reads the secret.") from error


@root.group(cls=Group)
def webhooks() -> None:
    """List and test webhooks, and retry their deliveries."""


@webhooks.command(name="list")
@as_json
def list_all(as_json: bool) -> None:
    """List the webhooks: address, event types and state."""
    found = schemas.Webhook().dump(service.everyone(), many=True)
    shown = ("id", "url", "event_types", "failing_since", "disabled_reason")
    print_rows(found, shown, as_json)


@webhooks.command()
@click.argument("webhook_id", type=int)
def test(webhook_id: int) -> None:
    """Send a test event now, and print the result.

    Its type is webhook.test. It has no number and is in no list of deliveries. The exit code is 1
    if it was not delivered.
    """
    webhook = service.find(webhook_id)
    keys, policy = current_app.config["SECRET_KEYS"], Policy(current_app.config["WEBHOOKS_ALLOW"])
    data: dict[str, object] = {"webhook": {"id": webhook_id}}
    now = db.session.execute(select(func.now())).scalar_one()
    event = Numbered(0, uuid.uuid4(), "webhook.test", now, data)
    with readable():
        secret = signing.decrypt(keys, webhook.secret)
    outcome = delivering.send(policy, webhook.url, [secret], event, now)
    if outcome.error is not None:
        status = f" (status {outcome.status})" if outcome.status else ""
        raise click.ClickException(f"It failed: {outcome.error}{status}.")
    click.echo(f"Delivered: status {outcome.status}.")


@webhooks.command()
def encrypt() -> None:
    """Encrypt all secrets with the first secret key.

    Then the other keys can leave VOUCHERPOOL_SECRET_KEY.
    """
    with readable(), transaction():
        number = service.encrypt_again(current_app.config["SECRET_KEYS"])
    click.echo(f"Encrypted the secrets of {counted(number, 'webhook')}.")


@webhooks.command()
@click.argument("webhook_id", type=int)
@click.option("--state", type=click.Choice(schemas.states), help="Only those in this state.")
@as_json
def deliveries(webhook_id: int, state: str | None, as_json: bool) -> None:
    """List the newest 100 deliveries of a webhook."""
    newest = service.list_deliveries(webhook_id, shown_at_once, state).items
    shown = ("number", "type", "state", "attempts", "attempted_at", "status", "error")
    print_rows(schemas.Delivery().dump(newest, many=True), shown, as_json)


@webhooks.command()
@click.argument("webhook_id", type=int)
@click.argument("numbers", type=int, nargs=-1)
def retry(webhook_id: int, numbers: tuple[int, ...]) -> None:
    """Send events again: all parked ones, or NUMBERS."""
    queued = in_long_transaction(lambda: service.retry(webhook_id, numbers))
    click.echo(f"Queued {queued} {'delivery' if queued == 1 else 'deliveries'}.")
