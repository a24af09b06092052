"""The configuration, read once from the environment; a wrong value stops the start."""

import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from psycopg2 import ProgrammingError
from psycopg2.extensions import make_dsn
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from voucherpool.config import mail as mails
from voucherpool.config.environment import Asked, Environment, Network
from voucherpool.errors import ConfigurationError

checkout = Path(__file__).resolve().parents[2]
"""The folder of the package; in a checkout, it also has what `beside` finds."""
driver = "postgresql+psycopg2"
durability = frozenset({"fsync", "full_page_writes", "synchronous_commit"})
"""PostgreSQL may lose committed data if one of these settings is off."""
worker_threads = 5
"""Threads of the worker that use the database: its groups of work, and two senders of webhooks."""
plans_of_many_rows = ("enable_seqscan", "enable_mergejoin", "enable_hashjoin")
"""Kinds of plans that are off, so that statements for a few rows use indexes.

Statements for many rows turn them on again (database.transactions.expect_many_rows).
"""
timeouts = (
    "-c statement_timeout=3s -c lock_timeout=2s -c idle_in_transaction_session_timeout=5s"
    r" -c default_transaction_isolation=read\ committed -c plan_cache_mode=force_generic_plan"
    + "".join(f" -c {plan}=off" for plan in plans_of_many_rows)
)


def beside(name: str) -> Path:
    """Return what stands beside the package in a checkout: migrations, seeds, gunicorn.conf.py.

    A wheel installs them under share/voucherpool.
    """
    found = checkout / name
    return found if found.exists() else Path(sysconfig.get_path("data"), "share/voucherpool", name)


@dataclass(frozen=True)
class Config:
    """How one process of voucherpool runs.

    `database_url` always names psycopg2 as its driver.
    `open_mode` serves local clients without an API key; only `voucherpool start` sets it.
    `workers` and `threads` are gunicorn's processes and the threads of each.
    `failed_attempts_per_key`, `…_client_ref` and `…_email` are limits per minute.
    `timeouts` are set by each `connection`, or by the database's `role` behind pgbouncer, which
    does not pass them on. `tolerate_off`, for tests only, names settings of `durability` that
    PostgreSQL may have off. `archive_older_than` and `purge_older_than` are the worker's ages, and
    `worker_metrics` is the host and port where it shows its metrics.
    `secret_keys` are Fernet keys: the first encrypts, all decrypt. `webhooks_allow` are networks
    that webhooks may lead to although they are not public. `texts` are those of e-mails and of the
    page that ends them; `mail` is None where no e-mails are sent. Days are days in the `timezone`
    of the shop. The log is `json`, or for people on a `console`. Without `docs` the documentation
    is not served, without `console` the pages at /console; `console_user_header` names their user
    in requests from the `console_proxies`.
    """

    database_url: URL
    open_mode: bool = False
    workers: int = 2
    threads: int = 4
    port: int = 5000
    failed_attempts_per_key: int = 300
    failed_attempts_per_client_ref: int = 10
    failed_attempts_per_email: int = 10
    timeouts: str = "connection"
    tolerate_off: frozenset[str] = frozenset()
    archive_older_than: timedelta | None = None
    purge_older_than: timedelta | None = None
    worker_metrics: tuple[str, int] | None = None
    secret_keys: tuple[str, ...] = field(default=(), repr=False)
    webhooks_allow: tuple[Network, ...] = ()
    texts: mails.Texts = mails.own_texts
    mail: mails.Mail | None = None
    timezone: str = "UTC"
    log: str = "json"
    docs: bool = True
    console: bool = True
    console_user_header: str | None = None
    console_proxies: tuple[Network, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Config":
        """Read the configuration. Raises ConfigurationError."""
        read = Environment(environ)
        return cls(
            database_url=_database_url(environ),
            open_mode=read.one_of("VOUCHERPOOL_OPEN_MODE", ("", "loopback")) == "loopback",
            workers=read.number("WEB_CONCURRENCY", cls.workers, most=64),
            threads=read.number("VOUCHERPOOL_THREADS", cls.threads, most=64),
            port=read.number("PORT", cls.port, most=65535),
            failed_attempts_per_key=read.number(
                "VOUCHERPOOL_FAILED_ATTEMPTS_PER_KEY", cls.failed_attempts_per_key
            ),
            failed_attempts_per_client_ref=read.number(
                "VOUCHERPOOL_FAILED_ATTEMPTS_PER_CLIENT_REF", cls.failed_attempts_per_client_ref
            ),
            failed_attempts_per_email=read.number(
                "VOUCHERPOOL_FAILED_ATTEMPTS_PER_EMAIL", cls.failed_attempts_per_email
            ),
            timeouts=read.one_of("VOUCHERPOOL_TIMEOUTS", ("connection", "role")),
            tolerate_off=read.some_of("VOUCHERPOOL_TOLERATE_OFF", durability),
            archive_older_than=read.age("VOUCHERPOOL_ARCHIVE_OLDER_THAN"),
            purge_older_than=read.age("VOUCHERPOOL_PURGE_OLDER_THAN"),
            worker_metrics=read.host_and_port("VOUCHERPOOL_WORKER_METRICS"),
            secret_keys=read.secret_keys(),
            webhooks_allow=read.networks("VOUCHERPOOL_WEBHOOKS_ALLOW"),
            texts=mails.texts(environ),
            mail=mails.settings(environ, read.number("VOUCHERPOOL_MAIL_RATE", 600)),
            timezone=read.timezone(),
            log=read.one_of("VOUCHERPOOL_LOG", ("json", "console")),
            docs=read.one_of("VOUCHERPOOL_DOCS", ("on", "off")) == "on",
            console=read.one_of("VOUCHERPOOL_CONSOLE", ("on", "off")) == "on",
            console_user_header=read.header("VOUCHERPOOL_CONSOLE_USER_HEADER"),
            console_proxies=_proxies(read),
        )

    def for_flask(self) -> dict[str, object]:
        """Return the settings by their names in capitals, and those of SQLAlchemy."""
        ours = {field.name.upper(): getattr(self, field.name) for field in fields(self)}
        return ours | {
            "SQLALCHEMY_DATABASE_URI": self.database_url,
            "SQLALCHEMY_ENGINE_OPTIONS": {
                # A read is one statement and needs no BEGIN; transaction() opens the writes.
                "isolation_level": "AUTOCOMMIT",
                # A thread keeps one connection for statements and borrows one for the session, so
                # none waits for another's.
                "pool_size": 2 * max(self.threads, worker_threads),
                "max_overflow": 0,
                "pool_timeout": 2,
                # The connection used last has its plans and warm caches.
                "pool_use_lifo": True,
                "pool_reset_on_return": None,  # voucherpool.database.connections does it
                # Keep codes and e-mails out of the log of a failed statement.
                "hide_parameters": True,
                "connect_args": self.connection_settings(),
                # pgbouncer may run each statement on another connection, which has not prepared it.
                "execution_options": {"prepare": self.timeouts == "connection"},
            },
        }

    def connection_settings(self) -> dict[str, Any]:
        """Return libpq's parameters; DATABASE_URL may override all but the encoding.

        The timeouts end before those of the proxy in front
        (https://www.postgresql.org/docs/current/libpq-connect.html, 34.1.2).
        """
        settings: dict[str, Any] = {
            "application_name": "voucherpool",
            "connect_timeout": 2,
            # Of several hosts, choose the primary: a standby may be behind.
            "target_session_attrs": "read-write",
            # Give up a host that no longer answers after about this many milliseconds.
            "tcp_user_timeout": 5000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        }
        given = self.database_url.query
        settings = {name: value for name, value in settings.items() if name not in given}
        settings["client_encoding"] = "UTF8"
        if self.timeouts == "connection":
            # PostgreSQL takes the last of two values for the same setting.
            ours = f"{timeouts} -c TimeZone={self.timezone}"  # of statistics by day
            settings["options"] = f"{ours} {given.get('options', '')}".strip()
        return settings


def misspelt(environ: Mapping[str, str]) -> Sequence[str]:
    """Return a sentence for each variable that begins like a setting and is none."""
    asked = Asked({"DATABASE_URL": "postgresql:///"})
    Config.from_environment(asked)
    prefix = "VOUCHERPOOL_"
    settings = {name.removeprefix(prefix): name for name in asked.names}
    wrong = [name for name in environ if name.startswith(prefix) and name not in asked.names]
    return [
        f"{name} is not a setting and is ignored: do you mean {settings[nearest]}?"
        for name in sorted(wrong)
        for nearest in get_close_matches(name.removeprefix(prefix), settings, n=1, cutoff=0)
    ]


def _proxies(read: Environment) -> tuple[Network, ...]:
    """Return the proxies that may name the console's user: without them anybody could."""
    header, proxies = "VOUCHERPOOL_CONSOLE_USER_HEADER", "VOUCHERPOOL_CONSOLE_PROXIES"
    networks = read.networks(proxies)
    if read.header(header) and not networks:
        expected = f"the networks of the proxies that set the header in {header}, such as 10.1.0.5"
        raise ConfigurationError(proxies, expected)
    return networks


def _database_url(environ: Mapping[str, str]) -> URL:
    """Return DATABASE_URL, with psycopg2 as its driver."""
    expected = "the address of a PostgreSQL database: postgresql://user:password@host:5432/name"
    given = environ.get("DATABASE_URL", "").strip()
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        # Not chained and not quoted: the address may hold a password.
        raise ConfigurationError("DATABASE_URL", expected) from None
    if url.drivername not in {"postgres", "postgresql", driver}:
        raise ConfigurationError("DATABASE_URL", expected)
    if given.count("@") > (url.username is not None):
        # All after the first @ would be read as the host and shown in errors, even a password.
        raise ConfigurationError("DATABASE_URL", f"{expected}, with %40 for any further @")
    url = url.set(drivername=driver)
    _require_readable_parameters(url)
    return url


def _require_readable_parameters(url: URL) -> None:
    readable = "an address that libpq can read"
    try:
        _, parameters = url.get_dialect()().create_connect_args(url)
        make_dsn(**parameters)
    except (ArgumentError, ProgrammingError, TypeError) as error:
        reason = str(error).removeprefix("invalid dsn: ").strip()
        if any("password" in name for name in url.query):
            reason = "invalid connection option"  # the name may be what follows a password's &
        raise ConfigurationError("DATABASE_URL", f"{readable} ({reason})") from None
    if twice := [name for name, value in parameters.items() if isinstance(value, tuple)]:
        raise ConfigurationError("DATABASE_URL", f"{readable} ({twice[0]} is given twice)")
