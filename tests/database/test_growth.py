"""Rows that are updated often are updated in place (HOT): no index grows with them.

https://www.postgresql.org/docs/current/storage-hot.html
"""

from contextlib import contextmanager

import pytest
from sqlalchemy import text

from tests.builders import ana
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.http.idempotency import stored_answers
from voucherpool.offers import counts
from voucherpool.vouchers.checkout import redeeming

pytestmark = pytest.mark.one_machine("counts the page writes of one PostgreSQL")

uses = 20  # their versions fit into one page, which nothing tidies inside a transaction

updates = "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables"


def counted():
    return {name: (made, hot) for name, made, hot in db.session.execute(text(updates))}


@contextmanager
def in_place(app, **expected):
    """Fail unless the block updates each table so often, and each time in place."""
    with app.app_context(), transaction():
        before = counted()
        yield
        after = counted()
    for table, number in expected.items():
        grown = tuple(a - b for a, b in zip(after[table], before[table], strict=True))
        assert grown == (number, number), table


@pytest.fixture
def code(make, app):
    """Return the code of a voucher with uses to spare that was redeemed before."""
    code = make.voucher(max_redemptions=100)
    with app.app_context(), transaction():
        redeeming.redeem(code, ana)
    return code


def test_a_use_that_is_not_the_last_touches_no_index_of_vouchers(app, code):
    with in_place(app, vouchers=uses):
        for _ in range(uses):
            redeeming.redeem(code, ana)


def test_counting_issued_vouchers_touches_no_index(app, code, sql):
    [(offer_id,)] = sql("SELECT id FROM offers")
    with in_place(app, offer_counts=uses):
        for _ in range(uses):
            counts.count_issued(offer_id, 1)


def test_the_answer_of_an_idempotency_key_is_stored_without_touching_an_index(app):
    with in_place(app, idempotency_keys=1):
        key = {"key": "k", "scope": "redeem", "fingerprint": bytes(32)}
        stored_answers.take_key.one_or_none(key)
        answer = {"this": "k", "in_scope": "redeem", "code": 201, "customer_ids": None}
        answer["text"] = '{"code":"CFZG-G4HZ-T15C"}'
        db.session.connection().exec_driver_sql(stored_answers.store_answer.sql, answer)
