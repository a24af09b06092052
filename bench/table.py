"""The table of a benchmark's results."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, NamedTuple

from bench import machine, operations
from bench.bulk import Bulk
from bench.counting import Count

titles = (
    *("", "a second", "p50 ms", "p99 ms", "app CPU µs", "database CPU µs"),
    *("statements", "round trips", "compared"),
)


class Run(NamedTuple):
    """One run; latencies in milliseconds, CPU time in microseconds a request."""

    requests: int
    rate: float
    p50: float | None
    p99: float | None
    app: float | None
    database: float | None


Runs = dict[str, list[Run]]


class Ratio(NamedTuple):
    """A ratio to show in a row, with its goal."""

    row: str
    to: str
    figure: str
    words: str


ratios = (
    Ratio(operations.floor.name, operations.bare.name, "rate", "of the bare route"),
    Ratio(operations.redeem.name, operations.floor.name, "rate", "of the floor (goal ≥ 0.8)"),
    Ratio(
        operations.redeem.name, operations.floor.name, "app", "times the floor's CPU (goal ≤ 1.4)"
    ),
    Ratio(
        operations.redeem.name,
        operations.floor.name,
        "database",
        "times the floor's CPU of PostgreSQL (goal ≤ 1.15)",
    ),
    Ratio(
        operations.redeem_with_webhook.name,
        operations.redeem.name,
        "rate",
        "of that without (goal ≥ 0.9)",
    ),
    Ratio(operations.hot.name, operations.spread.name, "rate", "of the spread load (goal ≥ 0.8)"),
    Ratio(operations.limited.name, operations.hot.name, "rate", "of that without (goal ≥ 0.5)"),
    Ratio(operations.far, operations.first, "database", "times the first page's CPU (goal 1)"),
    Ratio(
        operations.generate.name,
        operations.floor_of_generate.name,
        "rate",
        "of its floor (goal ≥ 0.75)",
    ),
)


@dataclass
class Report:
    """All results; `memory` is a worker's, in MB, after few and after many requests."""

    machine: dict[str, str]
    counts: dict[str, Count] = field(default_factory=dict)
    runs: Runs = field(default_factory=dict)
    memory: list[float] = field(default_factory=list)
    bulk: Bulk | None = None

    def ratio(self, asked: Ratio) -> float:
        """Return the median of the rounds' own ratios."""
        pairs = zip(self.runs[asked.row], self.runs[asked.to], strict=True)
        each = [getattr(a, asked.figure) / getattr(b, asked.figure) for a, b in pairs]
        return float(median(each))

    def rows(self) -> list[list[str]]:
        """Return the table's cells."""
        rows = [self._row(name) for name in self.runs]
        if self.bulk:
            rows += _bulk_rows(self.bulk)
        if self.memory:
            rows.append(_memory_row(*self.memory))
        return rows

    def markdown(self) -> str:
        """Return the machine and the table."""
        lines = [machine.markdown(self.machine), ""]
        rule = ["---"] + ["---:"] * (len(titles) - 2) + ["---"]
        for row in (titles, rule, *self.rows()):
            lines.append(f"| {' | '.join(row)} |")
        return "\n".join(lines)

    def json(self) -> str:
        """Return all results, including each run."""
        runs = {name: [run._asdict() for run in runs] for name, runs in self.runs.items()}
        content: dict[str, Any] = {
            "machine": self.machine,
            "ratios": {f"{asked.row} / {asked.to}": self.ratio(asked) for asked in ratios},
            "counts": {name: count._asdict() for name, count in self.counts.items()},
            "runs": runs,
            "worker_megabytes": self.memory,
            "bulk": self.bulk and asdict(self.bulk),
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def _row(self, name: str) -> list[str]:
        rate, p50, p99, app, database = (
            _median(getattr(run, figure) for run in self.runs[name]) for figure in Run._fields[1:]
        )
        count = self.counts.get(name)
        asked = [f"{number:g}" for number in count] if count else ["", ""]
        compared = [f"**{self.ratio(one):.2f}** {one.words}" for one in ratios if one.row == name]
        cpu = [_number(app, 0), _number(database, 0)]
        times = [_number(p50, 1), _number(p99, 1)]
        return [name, _number(rate, 0), *times, *cpu, *asked, "; ".join(compared)]


def _median(figures: Iterable[float | None]) -> float | None:
    there = [figure for figure in figures if figure is not None]
    return median(there) if there else None


def _number(figure: float | None, digits: int) -> str:
    return "" if figure is None else f"{figure:.{digits}f}"


def _bulk_rows(seen: Bulk) -> list[list[str]]:
    nothing = [""] * (len(titles) - 3)
    words = f"**{seen.ratio:.2f}** of COPY (goal ≥ 0.7), {seen.megabytes:.0f} MB (goal ≤ 150)"
    return [
        [f"COPY of {seen.count} rows", f"{seen.count / seen.plain:.0f}", *nothing, ""],
        ["bulk generation of as many", f"{seen.count / seen.bulk:.0f}", *nothing, words],
    ]


def _memory_row(few: float, many: float) -> list[str]:
    words = f"{many:.0f} MB (goal ≤ 90), **{many / few:.2f}** times that after 10 000 (goal 1)"
    return ["memory of a worker process after 100 000 requests", *[""] * (len(titles) - 2), words]
