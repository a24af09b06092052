"""Transactions that the database undid, and those that it may have committed."""

from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple

import psycopg2
import pytest
from psycopg2 import OperationalError
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS
from sqlalchemy import event, select, text
from sqlalchemy.exc import DBAPIError

from tests.builders import ana, end_connections, in_days
from tests.conftest import config
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.config.settings import plans_of_many_rows
from voucherpool.database import connections, retries
from voucherpool.database.model import db
from voucherpool.database.statements import Statement, give_up_kept_connection
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.vouchers.checkout import refusals
from voucherpool.vouchers.eligibility import state as voucher_state
from voucherpool.vouchers.models import Voucher

serialization_failure, read_only = "40001", "25006"


@pytest.fixture
def terminate(sql):
    """Return a function that ends a connection's process at the server."""

    def run(connection):
        pid = connection.connection.dbapi_connection.info.backend_pid
        end_connections(sql, f"pid = {pid}")

    return run


@contextmanager
def before(app, fragment, act, times=1):
    """Act on the first statements that hold the fragment; what `act` returns is run instead."""
    left = [act] * times

    def listen(connection, cursor, statement, parameters, context, executemany):
        if fragment in statement and left:
            return left.pop()(connection) or statement, parameters
        return statement, parameters

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", listen, retval=True)
        yield
        event.remove(db.engine, "before_cursor_execute", listen)
    assert not left


@pytest.fixture
def instead(monkeypatch):
    """Return a function: the next runs of a Statement run what `change` makes of its text."""
    text_for = Statement._text_for

    def arrange(name, change, times=1):
        left = [change] * times

        def run(statement, connection):
            text = text_for(statement, connection)
            return left.pop()(text) if statement.name == name and left else text

        monkeypatch.setattr(Statement, "_text_for", run)

    return arrange


def dying(text):
    return f"{text}; SELECT pg_terminate_backend(pg_backend_pid())"


def dying_after_the_commit(text):
    return dying(f"{text}; COMMIT")


@pytest.fixture
def impatient(monkeypatch):
    """Let a retry follow at once."""
    monkeypatch.setattr(retries, "longest_pause_seconds", 0.01)


@contextmanager
def once_at_commit(app, act):
    with before(app, "COMMIT", act):
        yield


@pytest.fixture
def redemptions(sql):
    return lambda: sql("SELECT count(*) FROM redemptions")[0][0]


def generate(client):
    body = {"email": ana, "offer_name": "KOI", "discount": 10, "expiry": in_days(30)}
    return client.post("/vouchers/generate", json=body, headers={"Idempotency-Key": "g"})


def test_a_transaction_whose_connection_dies_before_the_commit_is_run_again(
    client, make, instead, sql
):
    make.customer()
    instead("issue", dying)
    assert generate(client).status_code == 201
    assert sql("SELECT count(*) FROM vouchers") == [(1,)]


@pytest.mark.parametrize("sqlstate", [serialization_failure, read_only])
def test_a_write_that_the_database_undid_is_run_again(client, make, redemptions, instead, sqlstate):
    code = make.voucher()
    instead("redeem", lambda _: f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")
    assert client.redeem(code).status_code == 201
    assert redemptions() == 1


def test_a_read_whose_connection_dies_is_run_again(app, client, make, terminate, instead):
    make.voucher()
    instead("list_vouchers", dying)
    with before(app, "FROM api_keys", terminate):
        assert len(client.get(f"/vouchers?email={ana}").json) == 1


def test_an_idle_connection_that_the_server_closed_is_replaced(client, make, sql, redemptions):
    code = make.voucher(max_redemptions=2)
    assert client.redeem(code).status_code == 201
    end_connections(sql)
    assert client.redeem(code).status_code == 201
    assert redemptions() == 2


@pytest.mark.parametrize("opened", [transaction, long_transaction])
def test_a_transaction_leaves_nothing_on_its_connection(app, opened):
    def state():
        driver = db.session.connection().connection.driver_connection
        return driver.info.transaction_status, driver.autocommit

    with app.app_context():
        before = state()
        db.session.remove()
        for failing in (False, True):
            with suppress(ZeroDivisionError), opened():
                db.session.execute(text("SELECT 1"))
                assert state()[0] == TRANSACTION_STATUS_INTRANS
                1 / failing
            assert state() == before == (TRANSACTION_STATUS_IDLE, True)
            db.session.remove()


def test_a_long_transaction_has_time_and_all_plans_and_leaves_neither_behind(app):
    names = ("statement_timeout", *plans_of_many_rows)

    def settings():
        return [db.session.execute(text(f"SHOW {name}")).scalar() for name in names]

    with app.app_context():
        before = settings()
        assert before[0] != "0"
        assert before[1:] == ["off", "off", "off"]
        db.session.remove()
        for failing in (False, True):
            with suppress(ZeroDivisionError), long_transaction():
                assert settings() == ["0", "on", "on", "on"]
                1 / failing
            assert settings() == before
            db.session.remove()


class VoucherId(NamedTuple):
    code_key: str


def test_a_long_transaction_keeps_no_plan(app):
    some = Statement("some_vouchers", VoucherId, select(Voucher.code_key))
    with app.app_context():
        with long_transaction():
            some.all({})
            prepared = db.session.connection().info["prepared"]
            assert "some_vouchers" not in prepared
        with transaction():
            some.all({})
            assert "some_vouchers" in db.session.connection().info["prepared"]


def test_a_transaction_that_failed_and_went_on_is_not_taken_for_committed(app):
    def divide_by_zero():
        with suppress(DBAPIError):
            db.session.execute(text("SELECT 1/0"))

    with (
        app.app_context(),
        pytest.raises(RuntimeError, match="swallowed a database error"),
        transaction(),
    ):
        divide_by_zero()


def test_what_dies_at_every_attempt_is_503_and_may_be_tried_again(
    app, client, make, sql, terminate, monkeypatch, impatient
):
    monkeypatch.setattr(retries, "longest_seconds", 60)
    with before(app, "INSERT INTO offers", terminate, times=retries.most_attempts):
        answer = client.post("/offers", json={"name": "KOI", "discount": 10})
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert sql("SELECT count(*) FROM offers") == [(0,)]
    assert client.post("/offers", json={"name": "KOI", "discount": 10}).status_code == 201


def test_a_thread_gives_up_the_connection_that_it_keeps_without_an_error(app, client, make, caplog):
    code = make.voucher()
    assert client.check(code).status_code == 200
    with app.app_context():
        give_up_kept_connection()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


losses = pytest.mark.parametrize("loss", [dying, dying_after_the_commit])


def test_where_no_connection_can_be_made_the_outcome_is_known(app, client, make, monkeypatch):
    def refuse(*_, **__):
        raise OperationalError("connection refused")

    code = make.voucher()
    assert client.check(code).status_code == 200  # from now on the API key is known
    with app.app_context():
        give_up_kept_connection()
    monkeypatch.setattr(psycopg2, "connect", refuse)
    monkeypatch.setattr(retries, "longest_seconds", 0)
    answer = client.redeem(code)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")


@losses
def test_a_request_with_a_key_redeems_once_when_the_commit_is_lost(
    client, make, redemptions, instead, loss
):
    code, headers = make.voucher(max_redemptions=5), {"Idempotency-Key": "once"}
    instead("store_answer", loss)
    first = client.redeem(code, headers=headers)
    assert first.status_code == 201
    assert client.redeem(code, headers=headers).json == first.json
    assert redemptions() == 1


@losses
def test_an_order_redeems_once_when_the_commit_is_lost(client, make, redemptions, instead, loss):
    code = make.voucher(max_redemptions=5)
    instead("redeem", loss)
    first = client.redeem(code, order_ref="order-1")
    assert first.status_code == 201
    assert client.redeem(code, order_ref="order-1").json == first.json
    assert redemptions() == 1


def test_a_claim_with_a_claim_ref_takes_one_voucher_when_the_commit_is_lost(
    app, client, make, terminate, sql
):
    for _ in range(2):
        make.voucher(customer_id=None)
    body = {"email": ana, "offer_name": "KOI", "claim_ref": "c"}
    with once_at_commit(app, terminate):
        assert client.post("/vouchers/claim", json=body).status_code == 201
    assert sql("SELECT count(claimed_at) FROM vouchers") == [(1,)]


@pytest.mark.one_machine("a cluster redeems in a transaction, not in one statement")
@losses
def test_without_a_name_a_lost_commit_is_reported_and_not_run_again(
    client, make, redemptions, instead, loss
):
    code = make.voucher(max_redemptions=5)
    instead("redeem", loss)
    answer = client.redeem(code)
    assert (answer.status_code, answer.json["code"]) == (503, "outcome_unknown")
    assert redemptions() == (0 if loss is dying else 1)


def test_a_refusal_is_answered_as_such_when_the_commit_that_keeps_it_is_lost(
    app, client, make, terminate
):
    code = make.voucher(days=-1)
    with once_at_commit(app, terminate):
        assert client.redeem(code, order_ref="o").json["code"] == "voucher_expired"


@pytest.mark.parametrize(
    ("module", "at", "answered"), [(voucher_state, "read", 404), (refusals, "record", 503)]
)
def test_a_connection_that_is_lost_during_a_refusal_is_no_error_in_the_log(
    client, make, terminate, monkeypatch, impatient, caplog, module, at, answered
):
    make.customer()
    proceed = getattr(module, at)

    def lose_before(*args):
        terminate(db.session.connection())
        return proceed(*args)

    def lose_after(*args):
        try:
            return proceed(*args)
        finally:
            terminate(db.session.connection())

    monkeypatch.setattr(module, at, lose_before if module is refusals else lose_after)
    answer = client.redeem("0000-0000-0000", headers={"Idempotency-Key": "k"})
    assert answer.status_code == answered
    levels = {record.levelname for record in caplog.records}
    assert "WARNING" in levels
    assert not levels & {"ERROR", "CRITICAL"}
    assert client.get(f"/vouchers?email={ana}").json == []


def test_behind_pgbouncer_nothing_is_prepared_and_all_is_answered_alike(database_url, make):
    code, held = make.voucher(), make.voucher(max_redemptions=2)
    app = create_app(replace(config(database_url), timeouts="role"))
    shop = open_shop(app)
    for ask in (shop.check, shop.redeem):
        assert ask(code).status_code in (200, 201)
    assert shop.hold(held).status_code == 201
    amount = {"order_ref": "o", "order_amount": "19.99", "currency": "EUR"}
    assert shop.redeemed(held, **amount) == shop.redeemed(held, **amount)
    assert shop.listed() == [held]
    assert shop.check(held, email=None).json == {"redeemable": False, "reason": "voucher_not_found"}
    with app.app_context(), db.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_prepared_statements")) == 0
        db.engine.dispose()


def test_a_new_connection_that_is_lost_at_once_is_not_taken_for_a_bug(client, make, monkeypatch):
    code = make.voucher()
    client.check(code)
    monkeypatch.setattr(connections, "is_closed", lambda _: True)
    answer = client.redeem(code, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 201, answer.json
