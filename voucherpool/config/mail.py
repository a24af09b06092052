"""The settings of e-mail, read from variables of the environment."""

import re
from collections.abc import Mapping
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from voucherpool.config.environment import Environment
from voucherpool.errors import ConfigurationError
from voucherpool.input import formats

ports = {"smtp": 587, "smtps": 465, "smtp+plain": 25}
"""The usual port by scheme: STARTTLS required, TLS from the start, no TLS."""
languages = ("en", "de", "fr", "es")
needed_together = (
    *("VOUCHERPOOL_SMTP_URL", "VOUCHERPOOL_MAIL_FROM", "VOUCHERPOOL_PUBLIC_URL"),
    "VOUCHERPOOL_SECRET_KEY",
)
a_relay = (
    "smtp://user:password@host:587 (STARTTLS), smtps://user:password@host:465 (TLS) or"
    " smtp+plain://host:25 (no TLS and no password), with %40 for an @ in the password"
)


class Relay(NamedTuple):
    """The SMTP server that takes our messages; `scheme` says how TLS begins."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Return the address without user and password."""
        return f"{self.scheme}://{self.host}:{self.port}"


class Texts(NamedTuple):
    """The shop's language (ISO 639-1), the folder whose templates replace ours, and its days."""

    language: str = languages[0]
    templates: Path | None = None
    timezone: str = "UTC"


own_texts = Texts()


class Mail(NamedTuple):
    """How e-mails leave: at most `per_minute` from each worker."""

    relay: Relay
    sender: Address
    public_url: str
    per_minute: int
    texts: Texts


def texts(environ: Mapping[str, str]) -> Texts:
    """Read the language and the templates. Raises ConfigurationError."""
    language = environ.get("VOUCHERPOOL_LANGUAGE", "").strip() or languages[0]
    folder = environ.get("VOUCHERPOOL_TEMPLATES", "").strip()
    templates = Path(folder).absolute() if folder else None
    if templates is not None and not templates.is_dir():
        raise ConfigurationError("VOUCHERPOOL_TEMPLATES", "a folder that exists")
    own = templates is not None and (templates / f"{language}.jinja").is_file()
    if language not in languages and not (formats.language.fullmatch(language) and own):
        known = f"one of {', '.join(languages)}, or xx with a file xx.jinja in your templates"
        raise ConfigurationError("VOUCHERPOOL_LANGUAGE", known)
    return Texts(language, templates, Environment(environ).timezone())


def settings(environ: Mapping[str, str], per_minute: int) -> Mail | None:
    """Read how e-mails leave; None if no variable of e-mail is set. Raises ConfigurationError."""
    values = {name: environ.get(name, "").strip() for name in needed_together}
    chosen = texts(environ)
    given = [name for name in needed_together[:-1] if values[name]]
    if not given:
        return None
    if missing := [name for name, value in values.items() if not value]:
        raise ConfigurationError(missing[0], f"set, because {given[0]} is")
    url, sender, public_url, _ = values.values()
    return Mail(_relay(url), _sender(sender), _public_url(public_url), per_minute, chosen)


def _relay(text: str) -> Relay:
    try:
        url = urlsplit(text)
        usual = ports[url.scheme]
        port = usual if url.port is None else url.port
    except (KeyError, ValueError):
        raise ConfigurationError("VOUCHERPOOL_SMTP_URL", a_relay) from None
    bare = not (url.path.strip("/") or url.query or url.fragment)
    if not (bare and url.hostname and port and _login_is_safe(url) and text.isprintable()):
        raise ConfigurationError("VOUCHERPOOL_SMTP_URL", a_relay)
    user, password = (unquote(part) if part else None for part in (url.username, url.password))
    return Relay(url.scheme, url.hostname, port, user, password)


def _login_is_safe(url: SplitResult) -> bool:
    """Tell whether the address has both user and password, or neither; without TLS, neither."""
    if url.username is None:
        return True
    return bool(url.username and url.password) and url.scheme != "smtp+plain"


def _sender(text: str) -> Address:
    name, address = parseaddr(text)
    ascii_only = address.isascii() and bool(formats.mailbox.fullmatch(address))
    try:
        if not (ascii_only and text.isprintable() and text.count("@") == 1):
            raise ValueError
        return Address(name, addr_spec=address)
    except (MessageError, ValueError):
        expected = "an ASCII e-mail address, such as Shop <vouchers@shop.example>"
        raise ConfigurationError("VOUCHERPOOL_MAIL_FROM", expected) from None


def _public_url(text: str) -> str:
    if not re.fullmatch(r"https://[0-9A-Za-z.:-]+(/[0-9A-Za-z._~/-]*)?", text):
        expected = "the address that customers reach, such as https://vouchers.shop.example"
        raise ConfigurationError("VOUCHERPOOL_PUBLIC_URL", expected)
    return text.rstrip("/")
