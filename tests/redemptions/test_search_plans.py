"""How PostgreSQL runs the searches of the ledger: each reads it by an index."""

import pytest

from tests.builders import in_days
from tests.population import fill, last_plan, require_indexes, rows_read
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
    "count", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)], ids=str
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
    """Search, and look at the plan of the statement."""
    pages = []

    def run():
        pages.append(search.search(page_size, after, descending=descending, **criteria))

    plan = last_plan(run)
    require_indexes((criteria, after, descending), plan)
    if criteria.keys() <= {"since", "until", "by"}:
        assert rows_read(plan) <= 2 * offers_used * (page_size + 1), (criteria, after, plan)
    return pages[0]
