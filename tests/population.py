"""Fills a database with vouchers of all kinds, and reads the plans of searches in it."""

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import event, text

from voucherpool.database.model import db
from voucherpool.database.transactions import long_transaction

rows = """
    INSERT INTO customers (email, email_key)
    SELECT email, email FROM (SELECT 'c' || n || '@example.org' AS email
        FROM generate_series(1, 3000) AS n) AS new;
    INSERT INTO offers (name, discount) SELECT 'offer ' || n, 10 FROM generate_series(1, 200) AS n;
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at, batch_id, is_chosen,
        redemption_count, used_at)
    SELECT code, code, 1 + n % 200, CASE WHEN n % 2 = 0 THEN 1 + n % 3000 END,
        now() + n % 1000 * interval '1 hour', 1 + n % 200, CASE WHEN n % 100 = 0 THEN true END,
        (n % 10 = 0)::int, CASE WHEN n % 10 = 0 THEN now() END
    FROM generate_series(1, {count}) AS n, to_char(n, 'FM00000000') AS code;
    INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type, order_ref,
        redeemed_at, order_amount, discount_amount, currency)
    SELECT code_key, coalesce(customer_id, 1), offer_id, 10, 'percentage', 'o' || code_key,
        now() - issue_number * interval '1 minute', 10, 1, 'EUR'
    FROM vouchers WHERE used_at IS NOT NULL"""


def fill(count: int) -> None:
    """Make so many vouchers, a tenth of them used, and as many archived ones as a tenth of that."""
    with long_transaction():
        db.session.execute(text(rows.format(count=count)))
        db.session.execute(text("ANALYZE"))


def require_indexes(name: object, plan: str) -> None:
    """Fail if a plan reads a whole table that grows."""
    scanned = set(re.findall(r"Seq Scan on (\w+)", plan))
    assert not scanned & {"vouchers", "redemptions"}, f"{name}\n{plan}"


def last_plan(run: Callable[[], object]) -> str:
    """Return how PostgreSQL runs the last statement that a function sends."""
    sent: list[tuple[str, Any]] = []

    def remember(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        sent.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", remember)
    try:
        run()
    finally:
        event.remove(db.engine, "before_cursor_execute", remember)
    statement, parameters = sent[-1]
    with db.engine.connect() as connection:
        lines = connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {statement}", parameters)
        return "\n".join(lines.scalars())


def rows_read(plan: str) -> float:
    """Return how many rows of the ledger a plan has read, also those that it left out."""
    read = 0.0
    for node in plan.split("->"):
        scan = re.match(r".*Scan.* on redemptions\b.* rows=([\d.]+) loops=(\d+)", node)
        if scan:
            removed = re.findall(r"Rows Removed by .*: (\d+)", node)
            read += (float(scan[1]) + sum(map(float, removed))) * int(scan[2])
    return read
