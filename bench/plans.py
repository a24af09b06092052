"""Whether plans that were made for empty tables stay good; `make bench-plans` runs it.

A new database is vacuumed and analyzed while it is empty, autovacuum is off, and one connection
does all work, first with next to nothing there. So nothing tells PostgreSQL how the tables grow.
Before each tenth, new customers and vouchers come. Each customer makes each request once, so that
only the tables grow, and no customer's part of them.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import click
import flask_migrate
from sqlalchemy.engine import URL

from bench import home, processes
from voucherpool import create_app
from voucherpool.claims import service as claims
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.vouchers import listing
from voucherpool.vouchers.checkout import checking, holding, redeeming

most_ratio = 1.5
"""Indexes get a level higher as they grow; what reads a table whole reads ten times as much."""

settling_seconds = 0.2
counts_reported_after = 1.1
"""Seconds; a statement reports the pages of those before it if the last report is 1 s old."""

first = """
    INSERT INTO offers (name, discount, max_redemptions_per_customer)
    VALUES ('free', 10, NULL), ('limited', 10, 1000000);
    INSERT INTO vouchers (code_key, code, offer_id, expires_at, max_redemptions)
    SELECT code, code, offer_id, now() + interval '9 days', 1000000000
    FROM (VALUES ('FREE', 1), ('M1M1TED', 2)) AS new (code, offer_id)"""
# Each tenth has a pool of its own: without a vacuum, a claim also reads the index entries of all
# that were claimed from its pool before.
fill = """
    INSERT INTO offers (name, discount) VALUES ('pool {begin}', 10);
    INSERT INTO customers (email, email_key)
    SELECT email, email FROM (SELECT 'c' || n || '@example.org' AS email
        FROM generate_series({begin}, {end} - 1) AS n) AS new;
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at)
    SELECT code, code, offers.id, customers.id, now() + interval '9 days'
    FROM generate_series({begin}, {end} - 1) AS n
        CROSS JOIN unnest(ARRAY['R', 'N', 'K', 'P']) AS letter
        CROSS JOIN concat(letter, to_char(n, 'FM0000000')) AS code
        JOIN offers ON offers.name = CASE letter WHEN 'P' THEN 'pool {begin}' ELSE 'free' END
        LEFT JOIN customers
            ON letter <> 'P' AND customers.email_key = 'c' || n || '@example.org'"""


class Turn(NamedTuple):
    """The number of a customer, and the first one of its tenth."""

    number: int
    begin: int

    @property
    def email(self) -> str:
        """Return the customer's e-mail."""
        return f"c{self.number}@example.org"

    @property
    def order(self) -> str:
        """Return an order of the customer."""
        return f"order {self.number}"

    def code(self, letter: str) -> str:
        """Return the code of one of the customer's vouchers: R and N are redeemed, K is kept."""
        return f"{letter}{self.number:07}"


requests: dict[str, Callable[[Turn], object]] = {
    "redeem": lambda turn: redeeming.redeem(turn.code("R"), turn.email),
    "redeem in an order": lambda turn: redeeming.redeem(turn.code("N"), turn.email, turn.order),
    "redeem one code, each in an order": lambda turn: redeeming.redeem(
        "FREE", turn.email, turn.order
    ),
    "redeem one code, a limit per customer": lambda turn: redeeming.redeem(
        "M1M1TED", turn.email, turn.order
    ),
    "list": lambda turn: listing.list_redeemable(turn.email, 100),
    "check": lambda turn: checking.check(turn.code("K"), turn.email),
    "hold": lambda turn: holding.hold(turn.code("K"), turn.email, 900),
    "claim": lambda turn: claims.claim(turn.email, f"pool {turn.begin}"),
}


class Cost(NamedTuple):
    """PostgreSQL's cost of one request: CPU time and pages read."""

    microseconds: float
    pages: float


@click.command()
@click.option("--count", default=25_000, show_default=True, help="Requests of each kind.")
def main(count: int) -> None:
    """Measure, print, and exit with 1 where one tenth reads more pages than another.

    On a busy machine the same work takes more CPU time, but no more pages. Not the last tenth
    alone: a plan that was wrong ends with its connection, after a minute.
    """
    with home.server(**home.steady, fsync="off") as (_, postgres):
        server = int((postgres.data / "postmaster.pid").read_text().split("\n", 1)[0])
        costs = measure(postgres.url(), count // 10, server)
    for name, tenths in costs.items():
        click.echo(name)
        for figure in Cost._fields:
            each = [getattr(tenth, figure) for tenth in tenths]
            shown = " ".join(f"{cost:.0f}" for cost in each)
            click.echo(f"  {figure} by tenth: {shown}; last / second {each[-1] / each[1]:.2f}")
    for tenths in costs.values():
        pages = [tenth.pages for tenth in tenths]
        if max(pages) > most_ratio * min(pages):
            raise SystemExit(1)


def measure(database: URL, tenth: int, server: int) -> dict[str, list[Cost]]:
    """Return what each request costs PostgreSQL in each tenth."""
    costs = defaultdict(list)
    with create_app(Config(database)).app_context():
        flask_migrate.upgrade()
        home.execute(database, "VACUUM ANALYZE", *first.split(";"))
        add(database, 0, 1)
        for send in requests.values():
            send(Turn(0, 0))
        for begin in range(1, 10 * tenth, tenth):
            click.echo(f"Customers {begin} to {begin + tenth - 1}", err=True)
            add(database, begin, begin + tenth)
            turns = [Turn(number, begin) for number in range(begin, begin + tenth)]
            for name, send in requests.items():
                costs[name].append(cost(database, server, send, turns))
        db.engine.dispose()
    return costs


def add(database: URL, begin: int, end: int) -> None:
    """Add the customers with these numbers, and their vouchers."""
    home.execute(database, *fill.format(begin=begin, end=end).split(";"))


def cost(database: URL, server: int, send: Callable[[Turn], object], turns: list[Turn]) -> Cost:
    """Return what PostgreSQL spends on a request, as the mean of all turns."""
    before = spent(database, server)
    for turn in turns[:-1]:
        send(turn)
    time.sleep(counts_reported_after)
    send(turns[-1])
    after = spent(database, server)
    return Cost(*((now - then) / len(turns) for now, then in zip(after, before, strict=True)))


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
