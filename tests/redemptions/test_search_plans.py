"""How PostgreSQL runs the searches of the ledger: each reads it by an index."""

import re

import pytest
from sqlalchemy import event

from tests.builders import in_days
from tests.population import fill, require_indexes
from voucherpool.database.model import db
from voucherpool.redemptions import search

pytestmark = pytest.mark.one_machine("reads the plans of one PostgreSQL")

page_size = 20
offers_used = 20  # of the population, every tenth


def searches():
    """Return criteria of searches."""
    month = {"since": in_days(-3), "until": in_days(-1)}
    return [
        {},
        month,
        {"since": in_days(-900)},
        month | {"by": "reversed_at"},
        {"code": "00000010"},
        {"order_ref": "o00000010"},
        {"email": "c8@example.org"},
        {"email": "c8@example.org", **month},
        {"offer_id": 11},
        {"offer_id": 11, **month},
        {"offer_id": 11, "email": "c8@example.org"},
    ]


@pytest.mark.parametrize(
    "count", [20_000, pytest.param(1_000_000, marks=pytest.mark.fault)], ids=str
)
def test_each_search_reads_the_ledger_by_an_index(app, count):
    with app.app_context():
        fill(count)
        for criteria in searches():
            for descending in (False, True):
                page = explained(criteria, None, descending=descending)
                if page.next is not None:
                    explained(criteria, page.next, descending=descending)


def explained(criteria, after, *, descending):
    """Search, and look at the plan of each statement on the way."""
    sent = []

    def remember(_, __, statement, parameters, *___):
        sent.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", remember)
    try:
        page = search.search(page_size, after, descending=descending, **criteria)
    finally:
        event.remove(db.engine, "before_cursor_execute", remember)
    statement, parameters = sent[-1]
    with db.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {statement}", parameters)
        lines = plan.scalars().all()
    require_indexes((criteria, after, descending), "\n".join(lines))
    if criteria.keys() <= {"since", "until", "by"}:
        assert read(lines) <= 2 * offers_used * (page_size + 1), (criteria, after, *lines)
    return page


def read(lines):
    """Return how many rows of the ledger a plan has read."""
    scans = re.findall(
        r"Scan.* on redemptions\b.*actual.* rows=([\d.]+) loops=(\d+)", "\n".join(lines)
    )
    return sum(float(rows) * int(loops) for rows, loops in scans)
