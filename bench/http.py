"""Every operation over HTTP, compared with its lower limits; `make bench` runs it.

gunicorn runs as in production, on a PostgreSQL that syncs to disk. All take turns in short runs, so
that other load on the machine slows all of them; the table shows medians.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import click

from bench import bulk, counting, fill, home, load, machine, operations, processes, table
from bench.load import Loader, Operation
from bench.processes import Service
from bench.table import Run, Runs
from tests.server import children
from voucherpool.local.postgres import LocalPostgres

few, many = 10_000, 100_000  # requests; memory must not grow between the two
settling_seconds = 0.2
service_app = operations.redeem.app


@click.command()
@click.option("--quick", is_flag=True, help="Skip memory and bulk generation.")
@click.option("--rounds", default=9, show_default=True)
@click.option("--seconds", default=1, show_default=True, help="Seconds of each run.")
@click.option("--bulk-count", default=1_000_000, show_default=True)
@click.option("--json", "file", default="var/bench.json", show_default=True, type=Path)
def main(quick: bool, rounds: int, seconds: int, bulk_count: int, file: Path) -> None:
    """Measure the service over HTTP and print the table."""
    load.require_wrk()
    with home.server(**home.steady) as (folder, postgres):
        report = table.Report(machine.describe(postgres.url(), folder))
        _tell("Filling the tables")
        key = fill.prepare(postgres.url(), *operations.groups)
        bench = Bench(folder, postgres, Loader(key))
        report.counts = bench.count()
        report.runs = bench.measure(rounds, seconds, watch_memory=not quick)
        report.memory = bench.memory
        if not quick:
            _tell(f"Generating {bulk_count} vouchers in bulk")
            report.bulk = bulk.measure(folder, postgres.url(), bulk_count, _tell)
    click.echo(report.markdown())
    file.parent.mkdir(exist_ok=True)
    file.write_text(report.json())


class Bench:
    """A filled PostgreSQL and the services on it."""

    def __init__(self, folder: Path, postgres: LocalPostgres, loader: Loader) -> None:
        self._folder, self._loader, self._database = folder, loader, postgres.url()
        self._postgres = int((postgres.data / "postmaster.pid").read_text().split("\n", 1)[0])
        self._operations = operations.all_of(self._database)
        self._served = 0
        self.memory: list[float] = []

    def count(self) -> dict[str, counting.Count]:
        """Return the statements and round trips of each of the service's operations."""
        _tell("Counting statements and round trips")
        asked = [operation for operation in self._operations if operation.app == service_app]
        return counting.count(self._database, self._folder, self._loader, asked)

    def measure(self, rounds: int, seconds: int, watch_memory: bool) -> Runs:
        """Run all in turns; the first turn does not count."""
        log, runs = self._folder / "gunicorn.log", defaultdict(list)
        with ExitStack() as stack:
            services = {
                app: stack.enter_context(processes.gunicorn(self._database, log, app))
                for app in {operation.app for operation in self._operations}
            }
            _tell("Warming up")
            self._round(services, 1)
            home.execute(self._database, "VACUUM ANALYZE")
            if watch_memory:
                self._note_memory(services[service_app], few)
            for number in range(rounds):
                _tell(f"Round {number + 1} of {rounds}")
                for name, run in self._round(services, seconds).items():
                    runs[name].append(run)
            if watch_memory:
                self._note_memory(services[service_app], many)
        return runs

    def _round(self, services: Mapping[str, Service], seconds: int) -> dict[str, Run]:
        runs = {}
        for operation in self._operations:
            run = runs[operation.name] = self._run(services[operation.app], operation, seconds)
            if operation.app == service_app:
                self._served += run.requests
        return runs

    def _run(self, service: Service, operation: Operation, seconds: int) -> Run:
        with operations.running(operation, self._database):
            app, database = self._cpu(service)
            seen = self._loader.load(service.port, operation, seconds)
            app_after, database_after = self._cpu(service)
        return Run(
            seen.requests,
            seen.requests / seen.seconds,
            seen.p50,
            seen.p99,
            (app_after - app) / seen.requests,
            (database_after - database) / seen.requests,
        )

    def _cpu(self, service: Service) -> tuple[float, float]:
        """Return the microseconds that gunicorn and PostgreSQL have used so far."""
        time.sleep(settling_seconds)  # until parents count the CPU time of ended children
        used = (processes.cpu_seconds(process) for process in (service.process, self._postgres))
        app, database = (seconds * 1e6 for seconds in used)
        return app, database

    def _note_memory(self, service: Service, requests: int) -> None:
        """Note the largest worker's memory after this many requests."""
        _tell(f"Serving {requests} requests in all")
        while self._served < requests:
            self._served += self._loader.load(service.port, operations.check, 2).requests
        workers = children(service.process)
        self.memory.append(max(map(processes.megabytes, workers)))


def _tell(what: str) -> None:
    click.echo(what, err=True)


if __name__ == "__main__":
    main()
