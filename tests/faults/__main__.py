"""`make faults`: plays scenarios, each with its control, and prints one line for each."""

import sys
import traceback
from collections.abc import Sequence

import click

from tests.faults import scenarios
from tests.faults.run import Missing, Run
from tests.faults.scenarios import Scenario

quick = 0.05
"""The size of `--quick`."""


@click.command()
@click.argument("names", nargs=-1)
@click.option("--size", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
@click.option("--quick", "is_quick", is_flag=True, help=f"The same as --size {quick}.")
@click.option("--list", "lists", is_flag=True, help="Say what each scenario does.")
def main(names: Sequence[str], size: float, is_quick: bool, lists: bool) -> None:
    """Break the service in every way that NAMES say, or in all ways, and judge what is left.

    The exit code is 1 if a promise was broken, or if a control did not notice that its guard was
    off.
    """
    every = scenarios.load()
    if unknown := [name for name in names if name not in every]:
        raise click.UsageError(f"no scenario has the name {unknown[0]}: see --list")
    chosen = [every[name] for name in names or every]
    if lists:
        for each in chosen:
            click.echo(f"{each.name:18} {each.about}")
        return
    well = [report(each, quick if is_quick else size) for each in chosen]
    sys.exit(0 if all(well) else 1)


def report(scenario: Scenario, size: float) -> bool:
    """Play a scenario and its control, print its line, and tell whether all is well."""
    try:
        found = play(scenario, size)
        control = play(scenario, min(size, scenario.control_size), scenario.control)
    except Missing as missing:
        click.echo(f"{scenario.name:18} skipped: {missing}")
        return True
    except Exception:  # noqa: BLE001 (the other scenarios go on)
        click.echo(f"{scenario.name:18} FAILED: {traceback.format_exc(limit=-4)[:2000]}")
        return False
    verdict = f"red ({faults(control)})" if control.is_red else "NOT RED"
    click.echo(f"{scenario.name:18} {figures(found)}, control {verdict}")
    if found.breaches:
        click.echo(f"{scenario.name:18} BREACH: {'; '.join(found.breaches)}")
    return control.is_red and not found.is_red


def play(scenario: Scenario, size: float, guard: str | None = None) -> Run:
    """Play a scenario, in a control without a guard, and return what it found."""
    run = Run(size=size, guard=guard)
    with run.running:
        scenario.play(run)
    return run


def figures(run: Run) -> str:
    """Return what a line says of a run."""
    ledger = run.ledger
    counts = {
        "operations": ledger.operations,
        "acknowledged": run.acknowledged,
        "unknown": ledger.unknown,
        "kills": run.kills,
        "lost": run.lost,
        "doubled": run.doubled,
    }
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    gap = f"{ledger.longest_gap():.1f} s" if ledger.moments else "-"
    return f"{listed}, longest gap {gap}"


def faults(run: Run) -> str:
    """Return what a control noticed."""
    counts = {"lost": run.lost, "doubled": run.doubled}
    return ", ".join([f"{n} {what}" for what, n in counts.items() if n] + run.breaches[:1])


if __name__ == "__main__":
    main()
