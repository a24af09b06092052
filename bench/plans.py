"""Whether plans that were made for empty tables stay good; `make bench-plans` runs it.

A new database is vacuumed and analyzed while it is empty, autovacuum is off, and one connection
redeems, first with next to nothing there. So nothing tells PostgreSQL how the tables grow. Each
customer redeems once, so that only the tables grow, and no customer's part of them.
"""

import time
from dataclasses import dataclass
from typing import NamedTuple

import click
import flask_migrate
from sqlalchemy.engine import URL

from bench import home, processes
from voucherpool import create_app
from voucherpool.config import Config
from voucherpool.database.model import db
from voucherpool.vouchers import redeeming

most_ratio = 1.2
empty = "empty"
settling_seconds = 0.2
counts_reported_after = 1.1
"""Seconds; a statement reports the pages of those before it if the last report is 1 s old."""

first = """
    INSERT INTO customers (email, email_key) VALUES ('c0@example.org', 'c0@example.org');
    INSERT INTO offers (name, discount, max_redemptions_per_customer)
    VALUES ('free', 10, NULL), ('limited', 10, 1000000);
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, max_redemptions)
    SELECT code, code, offer_id, now() + interval '9 days', most
    FROM (VALUES ('0000000', 1, 1), ('FREE', 1, 1000000000), ('M1M1TED', 2, 1000000000))
        AS new (code, offer_id, most)"""
fill = """
    INSERT INTO customers (email, email_key)
    SELECT email, email FROM (SELECT 'c' || n || '@example.org' AS email
        FROM generate_series(1, {count}) AS n) AS new;
    INSERT INTO vouchers (code_key, code, offer_id, expires_at)
    SELECT code, code, 1, now() + interval '9 days'
    FROM generate_series(1, {count}) AS n, to_char(n, 'FM0000000') AS code"""


@dataclass(frozen=True)
class Load:
    """Redemptions of one kind; without a code, each is of another voucher."""

    name: str
    code: str | None = None
    with_order: bool = False

    def redeem(self, number: int) -> None:
        """Redeem as the number's customer."""
        redeeming.redeem(
            self.code or f"{number:07}",
            f"c{number}@example.org",
            f"order {number}" if self.with_order else None,
        )


loads = (
    Load("one voucher after the other"),
    Load("one voucher after the other, each in an order", with_order=True),
    Load("one code, each in an order", "FREE", with_order=True),
    Load("one code, a limit per customer", "M1M1TED", with_order=True),
)


class Cost(NamedTuple):
    """PostgreSQL's cost of one redemption: CPU time and pages read."""

    microseconds: float
    pages: float


@click.command()
@click.option("--count", default=100_000, show_default=True, help="Redemptions of each kind.")
def main(count: int) -> None:
    """Measure, print, and exit with 1 where the last tenth reads more pages than the second.

    On a busy machine the same work takes more CPU time, but no more pages.
    """
    worst = 0.0
    with home.server(**home.steady, fsync="off") as (_, postgres):
        server = int((postgres.data / "postmaster.pid").read_text().split("\n", 1)[0])
        prepare(postgres.url())
        for number, load in enumerate(loads):
            database = postgres.url().set(database=f"load_{number}")
            home.execute(postgres.url(), f"CREATE DATABASE {database.database} TEMPLATE {empty}")
            tenths = measure(database, load, count, server)
            click.echo(load.name)
            for figure in Cost._fields:
                costs = [getattr(tenth, figure) for tenth in tenths]
                shown = " ".join(f"{cost:.0f}" for cost in costs)
                click.echo(
                    f"  {figure} by tenth: {shown}; last / second {costs[-1] / costs[1]:.2f}"
                )
            worst = max(worst, tenths[-1].pages / tenths[1].pages)
    if worst > most_ratio:
        raise SystemExit(1)


def prepare(server: URL) -> None:
    """Make an empty database that PostgreSQL knows to be so."""
    home.execute(server, f"CREATE DATABASE {empty}")
    with create_app(Config(server.set(database=empty))).app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    home.execute(server.set(database=empty), "VACUUM ANALYZE")


def measure(database: URL, load: Load, count: int, server: int) -> list[Cost]:
    """Return what the redemptions of each tenth cost PostgreSQL."""
    tenth, costs = count // 10, []
    with create_app(Config(database)).app_context():
        home.execute(database, *first.split(";"))
        load.redeem(0)
        home.execute(database, *fill.format(count=count).split(";"))
        before = spent(database, server)
        for begin in range(1, count, tenth):
            for number in range(begin, begin + tenth - 1):
                load.redeem(number)
            time.sleep(counts_reported_after)
            load.redeem(begin + tenth - 1)
            after = spent(database, server)
            costs.append(
                Cost(*((now - then) / tenth for now, then in zip(after, before, strict=True)))
            )
            before = after
        db.engine.dispose()
    return costs


def spent(database: URL, server: int) -> Cost:
    """Return what PostgreSQL has spent so far."""
    [(pages,)] = home.execute(
        database,
        "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()",
    )
    time.sleep(settling_seconds)  # for what ends to be counted by its parent
    return Cost(processes.cpu_seconds(server) * 1e6, float(pages))


if __name__ == "__main__":
    main()
