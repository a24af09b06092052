"""A Citus cluster beside one PostgreSQL; `make bench-citus CITUS_URL=…` runs it.

The cluster's machines must run on this host, or their CPU time is unknown. Both get the same
vouchers, and gunicorns of their own, which are loaded in turns.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
from sqlalchemy.engine import URL

from bench import fill, home, load, operations, processes
from bench.fill import Group
from bench.load import Loader, Operation
from tests import cluster
from voucherpool import create_app
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction
from voucherpool.operations import distributing

fresh, kept = Group("F", 100_000), Group("K", 20_000, per_customer=10)
few, many = 2, 16
redeem = replace(operations.redeem, group=fresh)
measured = (
    redeem,
    replace(operations.redeem_with_key, group=fresh),
    replace(operations.check, group=kept),
    Operation("hold", "/vouchers/hold", operations.voucher, fresh),
    Operation("list", "/vouchers?email=$email", "", kept, "GET"),
)
durability = "SELECT string_agg(name || '=' || setting, ', ' ORDER BY name) FROM pg_settings WHERE"
durability += " name IN ('fsync', 'synchronous_commit', 'full_page_writes')"


class Place(NamedTuple):
    """Where the service runs: its gunicorn, what loads it, and the servers of its database."""

    service: processes.Service
    loader: Loader
    servers: Mapping[str, list[int]]


class Seen(NamedTuple):
    """The results of a run: latency in milliseconds, CPU in microseconds for each request."""

    rate: float
    p50: float
    cpu: Mapping[str, float]


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3, show_default=True, help="Seconds of each run.")
def main(rounds: int, seconds: int) -> None:
    """Compare latencies, and the CPU of coordinator and workers, and print them."""
    load.require_wrk()
    if not cluster.citus_url:
        raise click.UsageError("CITUS_URL names no cluster.")
    with ExitStack() as stack:
        places = {"one": stack.enter_context(one()), "cluster": stack.enter_context(spread())}
        seen: dict[tuple[str, int, str], list[Seen]] = defaultdict(list)
        for number in range(rounds + 1):
            for operation in measured:
                for connections in (few, many):
                    for name, place in places.items():
                        this = replace(operation, connections=connections)
                        found = measure(place, this, seconds)
                        if number:  # the first round warms up
                            seen[operation.name, connections, name].append(found)
    for operation in measured:
        for connections in (few, many):
            click.echo(line(operation.name, connections, seen))


def line(operation: str, connections: int, seen: Mapping[tuple[str, int, str], list[Seen]]) -> str:
    """Return a row: both latencies and their ratio, both rates, the CPU of each kind of server."""
    one, spread = (seen[operation, connections, name] for name in ("one", "cluster"))
    before, after = (median(run.p50 for run in runs) for runs in (one, spread))
    cells = [operation, str(connections), f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f}"]
    cells += [f"{median(run.rate for run in runs):.0f}" for runs in (one, spread)]
    cells.append(f"{median(run.cpu['server'] for run in one):.0f}")
    cells += [
        f"{median(run.cpu[kind] for run in spread):.0f}" for kind in ("coordinator", "workers")
    ]
    return f"| {' | '.join(cells)} |"


def measure(place: Place, operation: Operation, seconds: int) -> Seen:
    """Load one of the places and return what was seen."""
    before = {kind: cpu(servers) for kind, servers in place.servers.items()}
    run = place.loader.load(place.service.port, operation, seconds)
    used = {kind: cpu(servers) - before[kind] for kind, servers in place.servers.items()}
    each = {kind: time / run.requests * 1e6 for kind, time in used.items()}
    return Seen(run.requests / run.seconds, run.p50, each)


def cpu(servers: list[int]) -> float:
    """Return the CPU time of some servers in seconds."""
    return sum(map(processes.cpu_seconds, servers))


@contextmanager
def one() -> Iterator[Place]:
    """Run the service on one PostgreSQL."""
    with home.server(**home.steady) as (folder, postgres):
        loader = Loader(fill.prepare(postgres.url(), fresh, kept))
        report("one PostgreSQL", postgres.url())
        with processes.gunicorn(postgres.url(), folder / "gunicorn.log") as service:
            yield Place(service, loader, {"server": [server_of(postgres.url())]})


@contextmanager
def spread() -> Iterator[Place]:
    """Run the service on the cluster."""
    with home.server() as (folder, _), cluster.database("voucherpool_bench") as url:
        url = url.difference_update_query(["options"])  # as many shards as in production
        loader = Loader(fill.prepare(url, fresh, kept))
        with create_app(Config(url)).app_context():
            with long_transaction():
                list(distributing.distribute())
            with long_transaction():
                distributing.clear_coordinator()
            db.engine.dispose()
        home.execute(url, "VACUUM ANALYZE")
        report("coordinator", url)
        workers = [server_of(worker) for worker in cluster.workers()]
        servers = {"coordinator": [server_of(url)], "workers": workers}
        with processes.gunicorn(url, folder / "gunicorn.log") as service:
            yield Place(service, loader, servers)


def report(name: str, url: URL) -> None:
    """Print the settings that decide what a commit costs."""
    [(settings,)] = home.execute(url, durability)
    click.echo(f"{name}: {settings}")


def server_of(url: URL) -> int:
    """Return the process of the server on this host."""
    [(folder,)] = home.execute(url, "SHOW data_directory")
    return int(Path(folder, "postmaster.pid").read_text().split()[0])


if __name__ == "__main__":
    main()
