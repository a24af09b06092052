"""`voucherpool mail`: tries the settings and shows the texts."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.headerregistry import Address

import click
from flask import current_app
from marshmallow import ValidationError

from voucherpool.cli import Group, root
from voucherpool.config.mail import Mail, Relay, own_texts
from voucherpool.input.fields import Email
from voucherpool.mail import composing
from voucherpool.mail.composing import Announced, Letter
from voucherpool.mail.connection import Connection, NotReady, Refused
from voucherpool.mail.errors import MailNotConfigured

nobody = 0
"""The customer of a sample: its link unsubscribes nobody."""


made_up = Mail(
    Relay("smtp", "smtp.example.org", 587),
    Address("Shop", addr_spec="vouchers@example.org"),
    "https://vouchers.example.org",
    per_minute=1,
    texts=own_texts,
)
"""For a preview without settings."""


@root.group(cls=Group)
def mail() -> None:
    """Send a test e-mail, and preview the texts."""


def _address(_: click.Context, __: click.Parameter, text: str) -> str:
    try:
        return str(Email().deserialize(text))
    except ValidationError as error:
        raise click.BadParameter(" ".join(error.messages)) from error


@mail.command()
@click.argument("address", callback=_address)
def test(address: str) -> None:
    """Send a sample to ADDRESS, and print the result."""
    settings = _settings()
    message = composing.compose(_sample("issued", address), settings, _keys())
    connection = Connection(settings.relay)
    try:
        connection.send(message, address)
    except (NotReady, Refused) as error:
        raise click.ClickException(
            f"{settings.relay!r} did not accept the message: {error}."
        ) from error
    finally:
        connection.close()
    click.echo(f"{settings.relay!r} accepted the message {message['Message-ID']}.")


@mail.command()
@click.argument("kind", type=click.Choice(["issued", "expiring"]))
@click.option("--language", help="Two letters, such as de; the shop's if you leave it out.")
def preview(kind: str, language: str | None) -> None:
    """Print a sample e-mail: headers, plain text, HTML.

    Settings that are missing are made up.
    """
    letter = _sample(kind, "ana@example.org", language)
    settings = current_app.config["MAIL"] or made_up._replace(texts=current_app.config["TEXTS"])
    message = composing.compose(letter, settings, _keys() or ("made up",))
    plain, html = message.iter_parts()
    headers = (f"{name}: {value}" for name, value in message.items())
    click.echo("\n".join((*headers, "", plain.get_content(), html.get_content())))


def _settings() -> Mail:
    settings: Mail | None = current_app.config["MAIL"]
    if settings is None:
        raise MailNotConfigured
    return settings


def _keys() -> tuple[str, ...]:
    keys: tuple[str, ...] = current_app.config["SECRET_KEYS"]
    return keys


def _sample(kind: str, email: str, language: str | None = None) -> Letter:
    """Return a letter about two vouchers that do not exist."""
    now = datetime.now(UTC)
    expires_at = now + timedelta(days=7)
    vouchers = (
        Announced("CFZG-G4HZ-T15C", "KOI", Decimal("22.1"), "percentage", None, None, expires_at),
        Announced("SPR-S5AX-6R78", "SPRING", Decimal(10), "fixed_amount", "EUR", None, expires_at),
    )
    return Letter(uuid.uuid4(), kind, nobody, email, language, vouchers, len(vouchers), now)
