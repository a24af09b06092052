"""Redeem, check and list with a growing number of vouchers; `make bench-scale` runs it.

Each number of vouchers has its own database and gunicorn, on one PostgreSQL that syncs to disk.
They take turns at a few connections, so that a slow moment of the machine does not look like a
slow table.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import matplotlib as mpl
from matplotlib import pyplot as plt
from sqlalchemy.engine import URL

from bench import fill, home, load, machine, processes
from bench.fill import Group
from bench.load import Loader, Measured, Operation
from bench.processes import Service
from voucherpool.config.settings import checkout

connections, seconds = 4, 2
most = 1000  # requests in a run: the smallest table must have vouchers for all rounds
warm_up = 300
voucher = '{"code":"$code","email":"$email"}'
percentiles = ("p50", "p99")

Seen = dict[str, dict[int, list[Measured]]]
"""The runs of each operation by the number of vouchers."""


@dataclass(frozen=True)
class Shop:
    """A database with `size` vouchers, and the service on it."""

    size: int
    service: Service
    loader: Loader
    operations: tuple[Operation, ...]

    def run(self, operation: Operation, requests: int) -> Measured:
        """Load the service with at most this many requests."""
        return self.loader.load(self.service.port, operation, seconds, requests)


@click.command()
@click.option("--size", "sizes", multiple=True, type=int, default=(10_000, 1_000_000, 10_000_000))
@click.option("--rounds", default=5, show_default=True, help="At most 5 for 10 000 vouchers.")
@click.option("--json", "file", default="var/bench-scale.json", show_default=True, type=Path)
@click.option("--picture", default=checkout / "docs" / "scale.png", show_default=True, type=Path)
def main(sizes: tuple[int, ...], rounds: int, file: Path, picture: Path) -> None:
    """Measure, print the table, and draw it."""
    load.require_wrk()
    with ExitStack() as stack:
        folder, postgres = stack.enter_context(home.server(**home.steady | {"max_wal_size": "4GB"}))
        about = machine.describe(postgres.url(), folder)
        shops = [stack.enter_context(_shop(folder, postgres.url(), size)) for size in sizes]
        seen = _measure(postgres.url(), shops, rounds)
    click.echo("\n".join([machine.markdown(about), "", *_table(seen, sizes)]))
    _write(file, about, seen)
    _draw(picture, seen, sorted(sizes))


@contextmanager
def _shop(folder: Path, server: URL, size: int) -> Iterator[Shop]:
    click.echo(f"Filling {size} vouchers", err=True)
    name = f"vouchers_{size}"
    database = server.set(database=name)
    home.execute(server, f"CREATE DATABASE {name}")
    redeemed = Group("F", size * 3 // 5, per_customer=10)
    kept = Group("K", size - redeemed.count, per_customer=10)
    key = fill.prepare(database, redeemed, kept)
    operations = (
        Operation("validate", "/vouchers/validate", voucher, redeemed, connections=connections),
        Operation("check", "/vouchers/check", voucher, kept, connections=connections),
        Operation("list", "/vouchers?email=$email", "", kept, "GET", connections=connections),
    )
    with processes.gunicorn(database, folder / f"{name}.log") as service:
        yield Shop(size, service, Loader(key), operations)


def _measure(server: URL, shops: list[Shop], rounds: int) -> Seen:
    """Let the shops take turns, in reverse order in every second round."""
    seen: Seen = defaultdict(lambda: defaultdict(list))
    for shop in shops:
        for operation in shop.operations:
            shop.run(operation, warm_up)
    for number in range(rounds):
        click.echo(f"Round {number + 1} of {rounds}", err=True)
        home.execute(server, "CHECKPOINT")
        for place in range(len(shops[0].operations)):
            for shop in shops if number % 2 == 0 else reversed(shops):
                operation = shop.operations[place]
                seen[operation.name][shop.size].append(shop.run(operation, most))
    return seen


def _table(seen: Seen, sizes: tuple[int, ...]) -> list[str]:
    titles = ["", *map(_spaced, sizes), f"{_spaced(max(sizes))} : {_spaced(min(sizes))}"]
    rows = [titles, ["---", *["---:"] * (len(sizes) + 1)]]
    for name in seen:
        for which in percentiles:
            times = [f"{_typical(seen[name][size], which):.2f}" for size in sizes]
            goal = " (goal ≤ 1.25)" if which == "p50" else ""
            rows.append(
                [f"{name}, {which} ms", *times, f"**{_growth(seen[name], which):.2f}**{goal}"]
            )
    return [f"| {' | '.join(row)} |" for row in rows]


def _spaced(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _typical(runs: list[Measured], which: str) -> float:
    return float(median(getattr(run, which) for run in runs))


def _growth(runs: dict[int, list[Measured]], which: str) -> float:
    """Return the median of the rounds' ratios of the most vouchers to the fewest."""
    pairs = zip(runs[max(runs)], runs[min(runs)], strict=True)
    return float(median(getattr(large, which) / getattr(small, which) for large, small in pairs))


def _write(file: Path, about: dict[str, str], seen: Seen) -> None:
    growth = {
        f"{name} {which}": _growth(runs, which)
        for name, runs in seen.items()
        for which in percentiles
    }
    runs = {
        name: {size: [vars(run) for run in runs] for size, runs in by_size.items()}
        for name, by_size in seen.items()
    }
    file.parent.mkdir(exist_ok=True)
    content = {"machine": about, "growth": growth, "runs": runs}
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _draw(picture: Path, seen: Seen, sizes: Sequence[int]) -> None:
    """Draw the percentiles side by side, each on its own scale."""
    mpl.use("agg")
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
    for axes, which in zip(panels, percentiles, strict=True):
        for name, by_size in seen.items():
            times = [_typical(by_size[size], which) for size in sizes]
            axes.plot(sizes, times, marker="o", label=name)
        axes.set(title=which, xscale="log", xlabel="vouchers", ylabel="milliseconds")
        axes.set_xticks(sizes, [_spaced(size) for size in sizes])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main()
