"""Measures what redemptions leave behind in tables and indexes; `make bench-growth` runs it.

Two databases start alike, but in one of them all tables have PostgreSQL's default settings. In
both, in turns, 1 000 000 single-use vouchers of one pool are redeemed, those that expire first
coming first, by 100 000 customers. In a third one, one voucher is redeemed 100 000 times.

Each redemption is redemption.take_one in a transaction of its own, prepared and sent 50 at a
time, without waiting for the disk: growth is measured, not speed. As that is several times as
fast as a shop, autovacuum looks around every 10 s instead of every 60 s. COUNT= redeems fewer.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from statistics import mean, median
from typing import Any

import click
import psycopg2
from flask import Flask
from sqlalchemy.engine import URL

from bench.figures import application, offer_with
from voucherpool import create_app
from voucherpool.config import Config
from voucherpool.db import db, transaction
from voucherpool.vouchers import claiming, redemption

count = int(os.environ.get("COUNT", "1000000"))
turns, threads, per_message = 20, 8, 50
customers = count // 10
spare = 1000  # stay in the pool, so that there is something to claim
pool, claimer = "pool", "c0@example.org"

no_order = {"order_ref": None, "order_amount": None}

Use = tuple[str, str]  # a voucher's code and a customer's e-mail

server_settings = (
    "autovacuum_naptime = '10s'",
    "max_wal_size = '8GB'",
    "synchronous_commit = off",  # for this server of the bench alone, which is thrown away
)
new_customers = f"""
    INSERT INTO customers (email, email_key)
    SELECT email, email
    FROM (SELECT 'c' || n || '@example.org' AS email FROM generate_series(0, {customers}) AS n)"""
in_order = "SELECT code_key FROM vouchers ORDER BY expires_at, issue_number LIMIT %s"
tables = """
    SELECT relname, pg_table_size(relid), pg_indexes_size(relid), n_dead_tup,
        n_tup_hot_upd::float / nullif(n_tup_upd, 0), n_tup_upd, autovacuum_count
    FROM pg_stat_user_tables
    WHERE relname IN ('vouchers', 'redemptions', 'customer_redemptions', 'offer_figures')
    ORDER BY pg_total_relation_size(relid) DESC"""
vouchers_indexes = """
    SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes
    WHERE relname = 'vouchers' ORDER BY 2 DESC LIMIT 4"""
resets = """
    SELECT format('ALTER TABLE %s RESET (%s)', oid::regclass, split_part(option, '=', 1))
    FROM pg_class, unnest(reloptions) AS option WHERE relnamespace = 'public'::regnamespace"""
dead = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'vouchers'"
vacuums = """
    SELECT autovacuum_count, total_autovacuum_time / 1000
    FROM pg_stat_user_tables WHERE relname = 'vouchers'"""


def main() -> None:
    with application() as app:
        server = app.config["SQLALCHEMY_DATABASE_URI"]
        for setting in server_settings:
            execute(server, f"ALTER SYSTEM SET {setting}")
        execute(server, "SELECT pg_reload_conf()")
        execute(server, new_customers)
        offer_with(count + spare, pool)
        execute(server, "VACUUM ANALYZE")
        db.engine.dispose()
        names = ("settings", "defaults", "one_voucher")
        urls = {name: copy(server, name) for name in names}
        compare(urls["settings"], urls["defaults"])
        redeem_one(urls["one_voucher"])


def copy(server: URL, name: str) -> URL:
    execute(server.set(database="template1"), f"CREATE DATABASE {name} TEMPLATE postgres")
    return server.set(database=name)


def compare(settings: URL, defaults: URL) -> None:
    """Redeem the pool in both databases in turns, and print what that leaves."""
    for (statement,) in execute(defaults, resets):
        execute(defaults, statement)
    uses = [
        (code, f"c{number % customers + 1}@example.org")
        for number, (code,) in enumerate(execute(settings, in_order, count))
    ]
    databases = {"settings": settings, "defaults": defaults}
    for name, url in databases.items():
        show(f"{name}, before", url)
    most_dead, claims = drain(databases, uses)
    for name, url in databases.items():
        show(f"{name}, after {count} redemptions", url)
        execute(url, "VACUUM")
        show(f"{name}, after VACUUM", url)
        [(number, seconds)] = execute(url, vacuums)
        click.echo(
            f"{name}: {number} autovacuums of vouchers took {seconds:.1f} s; "
            f"at most {most_dead[name]} dead rows; a claim took {claims[name][0]:.1f} ms at first, "
            f"{mean(claims[name]):.1f} ms on average, {max(claims[name]):.1f} ms at most"
        )
    click.echo(f"dead rows, settings / defaults: {ratio(most_dead):.2f}")
    averages = {name: mean(times) for name, times in claims.items()}
    click.echo(f"average claims, settings / defaults: {ratio(averages):.2f}")


def drain(
    databases: dict[str, URL], uses: list[Use]
) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Redeem in turns; return the most dead rows seen, and what a claim took after each turn."""
    apps = {name: create_app(Config(url)) for name, url in databases.items()}
    most_dead = dict.fromkeys(databases, 0)
    claims: dict[str, list[float]] = {name: [] for name in databases}
    for number, turn in enumerate(batched(uses, len(uses) // turns), 1):
        for name, url in databases.items():
            begun = time.perf_counter()
            redeem(url, turn)
            rate = len(turn) / (time.perf_counter() - begun)
            [(rows,)] = execute(url, dead)
            most_dead[name] = max(most_dead[name], rows)
            claims[name].append(milliseconds_of_claim(apps[name]))
            click.echo(f"{number:3} {name}: {rate:.0f}/s, {rows} dead, {claims[name][-1]:.1f} ms")
    for app in apps.values():
        with app.app_context():
            db.engine.dispose()
    return most_dead, claims


class Undone(Exception):
    """Takes back a claim that was only timed."""


def milliseconds_of_claim(app: Flask) -> float:
    """Return the median time that a claim takes, whose effect is undone."""
    times = []
    with app.app_context():
        for _ in range(20):
            begun = time.perf_counter()
            try:
                with transaction():
                    claiming.claim(claimer, pool)
                    raise Undone
            except Undone:
                times.append((time.perf_counter() - begun) * 1000)
    return median(times)


def redeem_one(url: URL) -> None:
    """Redeem one voucher again and again, and print whether that gets slower."""
    [(code,)] = execute(url, in_order, 1)
    number = count // 10
    execute(url, "UPDATE vouchers SET max_redemptions = %s WHERE code_key = %s", number, code)
    show("one voucher, before", url)
    uses = [(code, f"c{n % customers + 1}@example.org") for n in range(number)]
    rates = []
    for turn in batched(uses, number // 10):
        begun = time.perf_counter()
        redeem(url, turn)
        rates.append(len(turn) / (time.perf_counter() - begun))
    show(f"one voucher, after {number} redemptions", url)
    click.echo(f"one voucher: {', '.join(f'{rate:.0f}' for rate in rates)}/s, tenth by tenth")
    click.echo(f"last tenth / first tenth: {rates[-1] / rates[0]:.2f}")


def redeem(url: URL, uses: Sequence[Use]) -> None:
    with ThreadPoolExecutor(threads) as executor:
        list(executor.map(lambda share: redeem_share(url, share), shares(uses)))


def batched(uses: Sequence[Use], size: int) -> Iterator[Sequence[Use]]:
    return (uses[begin : begin + size] for begin in range(0, len(uses), size))


def shares(uses: Sequence[Use]) -> list[Sequence[Use]]:
    return [uses[number::threads] for number in range(threads)]


def redeem_share(url: URL, uses: Sequence[Use]) -> None:
    take_one = redemption.take_one
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(take_one._preparation)
        for some in batched(uses, per_message):
            values = ({**no_order, "key": code, "email": email} for code, email in some)
            message = f"BEGIN; {take_one._execution}; COMMIT;"
            cursor.execute(b"".join(cursor.mogrify(message, each) for each in values))


def show(title: str, url: URL) -> None:
    click.echo(f"{title}:")
    time.sleep(1)  # what the last connections counted is on its way
    for name, size, indexes, dead, hot, updates, autovacuums in execute(url, tables):
        share = "" if hot is None else f", {updates} updates, {hot:.3f} HOT"
        click.echo(
            f"    {name}: {size / 1e6:.1f} MB, indexes {indexes / 1e6:.1f} MB, {dead} dead rows, "
            f"{autovacuums} autovacuums{share}"
        )
    sizes = (f"{name} {size / 1e6:.1f} MB" for name, size in execute(url, vouchers_indexes))
    click.echo(f"    {', '.join(sizes)}")


def ratio(by_name: dict[str, Any]) -> float:
    return float(by_name["settings"] / max(by_name["defaults"], 1e-9))


def execute(url: URL, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return cursor.fetchall() if cursor.description else []


def connect(url: URL) -> Any:
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg2.connect(address)
    connection.autocommit = True
    return connection


if __name__ == "__main__":
    main()
