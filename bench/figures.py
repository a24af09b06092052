"""Measures what the offers' figures cost a redemption, and how long reading them takes.

`python -m bench.figures` prints both, on a PostgreSQL of its own with fsync on.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any

import click
import flask_migrate
from flask import Flask
from sqlalchemy import text

from bench import home
from voucherpool import create_app
from voucherpool.config import Config
from voucherpool.customers import service as customers
from voucherpool.db import db, long_transaction, transaction
from voucherpool.offers import figures
from voucherpool.statements import Statement
from voucherpool.vouchers import redemption

email = "bench@example.org"
redeems, rounds = 500, 5

fill = """
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, used_at, redemption_count)
    SELECT code, code, offer_id, expires_at, used_at, (used_at IS NOT NULL)::int
    FROM (SELECT upper(left(md5(:salt || n), 16)) AS code, :offer_id AS offer_id,
        now() + (n % 400 - :expired_days) * interval '1 day' AS expires_at,
        CASE WHEN n % 2 < :used THEN now() END AS used_at
        FROM generate_series(1, :count) AS n) AS new"""


@contextmanager
def application() -> Iterator[Flask]:
    """Return an application on a new database, which goes with it."""
    with home.server() as (_, postgres):
        app = create_app(Config(postgres.url(), threads=8))
        with app.app_context():
            flask_migrate.upgrade()
            with transaction():
                customers.ensure(email)
            yield app
            db.engine.dispose()


def offer_with(count: int, salt: str, expired_days: int = -1, used: int = 0) -> int:
    """Make an offer with so many vouchers and return its id."""
    named = {"name": salt}
    with long_transaction():
        make = text("INSERT INTO offers (name, discount) VALUES (:name, 10) RETURNING id")
        offer_id = int(db.session.scalar(make, named))
        request = {"salt": salt, "offer_id": offer_id, "count": count}
        db.session.execute(text(fill), request | {"expired_days": expired_days, "used": used})
        figures.count(offer_id, issued=count, used_up=count // 2 * used)
    return offer_id


def redeem_all(app: Flask, salt: str, threads: int) -> float:
    """Redeem an offer's vouchers and return how many a second."""
    offer_with(redeems, salt)
    query = text("SELECT code FROM vouchers JOIN offers ON id = offer_id WHERE name = :salt")
    with transaction():
        codes = db.session.scalars(query, {"salt": salt}).all()

    def redeem(some: list[str]) -> None:
        with app.app_context():
            for code in some:
                with transaction():
                    redemption.redeem(code, email)

    shares = [list(codes[number::threads]) for number in range(threads)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(redeem, shares))
    return redeems / (time.perf_counter() - begun)


def without_figures(statement: Any) -> Statement:
    """Return the statement without the part that counts into the figures."""
    bare = statement._generate()
    bare._independent_ctes = ()
    return Statement("redeem_without_figures", bare)


def compare_redeems(app: Flask) -> None:
    """Print the throughput of redeeming with and without figures, in turns."""
    counting, bare = redemption.take_one, without_figures(redemption._take_one())
    for threads in (1, 8):
        rates: dict[str, list[float]] = {"without": [], "with": []}
        for number in range(rounds):
            for kind, statement in (("without", bare), ("with", counting)):
                redemption.take_one = statement
                rates[kind].append(redeem_all(app, f"{kind} {threads} {number}", threads))
        slow, fast = median(rates["with"]), median(rates["without"])
        click.echo(f"{threads} threads: {fast:.0f}/s without, {slow:.0f}/s with: {slow / fast:.2f}")


def milliseconds(offer_id: int) -> float:
    """Return the median time that reading an offer's figures takes."""
    times = []
    for _ in range(20):
        begun = time.perf_counter()
        with transaction():
            figures.read(offer_id)
        times.append((time.perf_counter() - begun) * 1000)
    return median(times)


def time_reads() -> None:
    """Print how long reading figures takes, by how many vouchers there are and have expired."""
    for count, expired_days in ((10_000, -1), (1_000_000, -1), (1_000_000, 40)):
        offer_id = offer_with(count, f"read {count} {expired_days}", expired_days, used=1)
        with db.engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE vouchers"))
        with transaction():
            expired = figures.read(offer_id)["expired"]
        taken = milliseconds(offer_id)
        click.echo(f"{count} vouchers, {expired} expired unused: {taken:.1f} ms")


if __name__ == "__main__":
    with application() as app:
        compare_redeems(app)
        time_reads()
