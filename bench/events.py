"""Whether events that wait slow redemptions down; `make bench-events` runs it.

Three states take turns: nobody listens for redemptions; a webhook listens and its queue is empty;
it listens while 100 000 events and as many deliveries wait.
"""

from collections import defaultdict
from statistics import median

import click
from sqlalchemy.engine import URL

from bench import fill, home, load, operations, processes
from bench.load import Loader
from voucherpool.vouchers import event_types

waiting = 100_000

quiet = ("TRUNCATE events, numbered_events, webhooks, deliveries",)
listening = (
    *quiet,
    "INSERT INTO webhooks (url, event_types, secret, active_from)"
    f" VALUES ('http://127.0.0.1:9', ARRAY['{event_types.redeemed}'], '', now())",
)
queued = (
    *listening,
    "INSERT INTO events (code_key, type, data)"
    f" SELECT n::text, '{event_types.redeemed}', '{{}}' FROM generate_series(1, {waiting}) AS n",
    "INSERT INTO numbered_events (id, type, data, created_at) SELECT id, type, data, now()"
    " FROM events",
    "INSERT INTO deliveries (webhook_id, event_number, due_at)"
    " SELECT webhooks.id, number, now() + interval '1 hour' FROM numbered_events, webhooks",
    "VACUUM ANALYZE events, numbered_events, deliveries",
)
states = {
    "nobody listens": quiet,
    "a webhook listens": listening,
    f"a webhook listens, {waiting} events wait": queued,
}


@click.command()
@click.option("--rounds", default=7, show_default=True)
@click.option("--seconds", default=2, show_default=True, help="Seconds of each run.")
def main(rounds: int, seconds: int) -> None:
    """Measure redemptions over HTTP in each state and print their ratios."""
    load.insist_on_wrk()
    with home.server(**home.steady) as (folder, postgres):
        loader = Loader(fill.prepare(postgres.url(), operations.fresh))
        rates = defaultdict(list)
        with processes.gunicorn(postgres.url(), folder / "gunicorn.log") as service:
            for number in range(rounds + 1):
                for state, statements in states.items():
                    rate = measure(postgres.url(), statements, loader, service.port, seconds)
                    if number:  # the first round warms up
                        rates[state].append(rate)
    first, second, third = (median(rates[state]) for state in states)
    for state, measured in rates.items():
        click.echo(f"{median(measured):7.0f} redemptions a second: {state}")
    click.echo(f"{second / first:.2f} with a listener against without")
    click.echo(f"{third / second:.2f} with a queue against an empty one")


def measure(
    database: URL, statements: tuple[str, ...], loader: Loader, port: int, seconds: int
) -> float:
    """Return the redemptions a second in a state."""
    home.execute(database, *statements)
    loader.load(port, operations.redeem, 1)  # until each worker knows who listens
    seen = loader.load(port, operations.redeem, seconds)
    return seen.requests / seen.seconds


if __name__ == "__main__":
    main()
