"""Whether plans that were made for empty tables stay good; `make bench-plans` runs it.

A new database is vacuumed and analyzed while it is empty, autovacuum is off, and one connection
redeems, first with next to nothing there. So nothing tells PostgreSQL how the tables grow.
"""

from dataclasses import dataclass

import click
import flask_migrate
from sqlalchemy.engine import URL

from bench import home, processes
from voucherpool import create_app
from voucherpool.config import Config
from voucherpool.database.model import db
from voucherpool.vouchers import redeeming

customers = 10_000
most_ratio = 1.2
empty = "empty"

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
        FROM generate_series(1, {customers} - 1) AS n) AS new;
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
            f"c{number % customers}@example.org",
            f"order {number}" if self.with_order else None,
        )


loads = (
    Load("one voucher after the other"),
    Load("one voucher after the other, each in an order", with_order=True),
    Load("one code, each in an order", "FREE", with_order=True),
    Load("one code, a limit per customer", "M1M1TED", with_order=True),
)


@click.command()
@click.option("--count", default=100_000, show_default=True, help="Redemptions of each kind.")
def main(count: int) -> None:
    """Measure, print, and exit with 1 where the last tenth costs more than the second."""
    ratios = []
    with home.server(**home.steady, fsync="off") as (_, postgres):
        server = int((postgres.data / "postmaster.pid").read_text().split("\n", 1)[0])
        prepare(postgres.url())
        for number, load in enumerate(loads):
            database = postgres.url().set(database=f"load_{number}")
            home.execute(postgres.url(), f"CREATE DATABASE {database.database} TEMPLATE {empty}")
            tenths = measure(database, load, count, server)
            ratios.append(tenths[-1] / tenths[1])
            shown = " ".join(f"{tenth:.0f}" for tenth in tenths)
            click.echo(f"{load.name}: {shown} µs of PostgreSQL, ratio {ratios[-1]:.2f}")
    if max(ratios) > most_ratio:
        raise SystemExit(1)


def prepare(server: URL) -> None:
    """Make an empty database that PostgreSQL knows to be so."""
    home.execute(server, f"CREATE DATABASE {empty}")
    with create_app(Config(server.set(database=empty))).app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    home.execute(server.set(database=empty), "VACUUM ANALYZE")


def measure(database: URL, load: Load, count: int, server: int) -> list[float]:
    """Return the microseconds that each tenth of the redemptions cost PostgreSQL, for each."""
    tenth, costs = count // 10, []
    with create_app(Config(database)).app_context():
        home.execute(database, *first.split(";"))
        load.redeem(0)
        home.execute(database, *fill.format(customers=customers, count=count).split(";"))
        for begin in range(1, count, tenth):
            begun = processes.cpu_seconds(server)
            for number in range(begin, begin + tenth):
                load.redeem(number)
            costs.append((processes.cpu_seconds(server) - begun) / tenth * 1e6)
        db.engine.dispose()
    return costs


if __name__ == "__main__":
    main()
