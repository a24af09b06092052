"""A real SMTP server, and what sends to it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.headerregistry import Address
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask import Flask

from tests.mail.relay import Inbox, certificate, run_relay
from voucherpool.config.mail import Mail, Relay, Texts
from voucherpool.mail import reminders
from voucherpool.mail.sending import Sender
from voucherpool.operations import worker

keys = (Fernet.generate_key().decode(),)
shop = "https://shop.example"


@pytest.fixture
def relay() -> Iterator[Callable[..., Inbox]]:
    """Return a function that starts an SMTP server."""
    with ExitStack() as running:
        yield lambda **options: running.enter_context(run_relay(**options))


@pytest.fixture
def inbox(relay: Callable[..., Inbox]) -> Inbox:
    """Return the inbox of a relay without TLS."""
    return relay()


@pytest.fixture(scope="session")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a certificate for 127.0.0.1 and its key, which no authority signed."""
    return certificate(tmp_path_factory.mktemp("tls") / "certificate.pem")


def mail_to(port: int, per_minute: int = 1_000_000, **texts: Any) -> Mail:
    """Return settings for a relay on this machine."""
    sender = Address("Shop", addr_spec="vouchers@shop.example")
    relay = Relay("smtp+plain", "127.0.0.1", port)
    return Mail(relay, sender, shop, per_minute, Texts(**texts))


@pytest.fixture
def mail(app: Flask, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Mail:
    """Return the settings with which the app sends to the inbox."""
    settings = mail_to(inbox.port)
    monkeypatch.setitem(app.config, "MAIL", settings)
    monkeypatch.setitem(app.config, "SECRET_KEYS", keys)
    return settings


def until_idle(piece: Callable[[], object]) -> None:
    """Do a piece of work until there is no more; fail if it never ends."""
    for _ in range(200):
        if not piece():
            return
    raise AssertionError("it never ends")


@pytest.fixture
def work(app: Flask, mail: Mail, sql: Callable[..., Any]) -> Callable[..., None]:
    """Return a function that does what a worker does until nothing is left to do."""
    making = (
        worker.add_chunk_to_batch,
        lambda: worker.number_events(mail=True),
        lambda: reminders.remind_some(mail=True),
    )

    def run(mail: Mail = mail) -> None:
        sender = Sender(mail, keys)
        with app.app_context():
            until_idle(lambda: sum(piece() for piece in making))
            sql("UPDATE messages SET due_at = now() WHERE kind = 'expiring' AND attempts = 0")
            until_idle(sender.send_some)

    return run


@pytest.fixture
def environ(inbox: Inbox) -> dict[str, str]:
    """Return the variables with which a worker of its own sends to the inbox."""
    return settings_of(f"smtp+plain://127.0.0.1:{inbox.port}")


def settings_of(url: str) -> dict[str, str]:
    """Return the variables with which a process sends to a relay."""
    return {
        "VOUCHERPOOL_SMTP_URL": url,
        "VOUCHERPOOL_MAIL_FROM": "Shop <vouchers@shop.example>",
        "VOUCHERPOOL_PUBLIC_URL": shop,
        "VOUCHERPOOL_SECRET_KEY": keys[0],
    }


@pytest.fixture
def states(sql: Callable[..., Any]) -> Callable[[], list[tuple[str, int]]]:
    """Return a function that returns the state and the attempts of each message."""
    return lambda: sorted(map(tuple, sql("SELECT state, attempts FROM messages")))
