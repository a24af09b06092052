"""Databases on a Citus cluster, for `make test-citus`: CITUS_URL names its coordinator.

The coordinator's database there must have the extension and know its workers; the role must be
allowed to create databases on all of them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import URL, make_url

from voucherpool.config.settings import driver

citus_url = os.environ.get("CITUS_URL")
shards = 4
"""Few, because emptying a table asks each of its shards."""


def coordinator() -> URL:
    """Return the address of the cluster."""
    return make_url(citus_url or "").set(drivername=driver)


def run(url: URL, *statements: str) -> list[tuple[object, ...]]:
    """Run statements, each in a transaction of its own, and return the rows of the last."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        results = [connection.execute(text(statement)) for statement in statements]
        return [tuple(row) for row in results[-1]] if results[-1].returns_rows else []


def workers() -> list[URL]:
    """Return the addresses of the machines beside the coordinator."""
    found = run(coordinator(), "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid > 0")
    return [coordinator().set(host=str(host), port=int(str(port))) for host, port in found]


@contextmanager
def database(name: str) -> Iterator[URL]:
    """Make a database on all machines of the cluster, and drop it in the end."""
    machines = [coordinator(), *workers()]
    for machine in machines:
        run(machine, f"CREATE DATABASE {name}")
        run(machine.set(database=name), "CREATE EXTENSION citus")
    here, *others = machines
    joining = [f"citus_set_coordinator_host('{here.host}', {here.port})"]
    joining += [f"citus_add_node('{other.host}', {other.port})" for other in others]
    run(here.set(database=name), *(f"SELECT {call}" for call in joining))
    try:
        options = here.query.get("options", "")
        yield here.set(database=name).update_query_dict(
            {"options": f"{options} -c citus.shard_count={shards}".strip()}
        )
    finally:
        for machine in machines:
            run(machine, f"DROP DATABASE {name} WITH (FORCE)")
