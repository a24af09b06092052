"""What the database undid, and what it may have done."""

from contextlib import contextmanager

import pytest
from sqlalchemy import event, text

from tests.builders import ana
from voucherpool.db import db, transaction

serialization_failure, read_only = "40001", "25006"


@pytest.fixture
def terminate(sql):
    """Return a function that ends a connection's process at the server."""

    def run(connection):
        pid = connection.connection.dbapi_connection.info.backend_pid
        sql("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)

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


@contextmanager
def once_at_commit(app, act):
    left = [act]

    def listen(connection):
        if left:
            left.pop()(connection)

    with app.app_context():
        event.listen(db.engine, "commit", listen)
        yield
        event.remove(db.engine, "commit", listen)
    assert not left


def validate(client, code, **request):
    headers = request.pop("headers", None)
    body = {"code": code, "email": ana, **request}
    return client.post("/vouchers/validate", json=body, headers=headers)


@pytest.fixture
def redemptions(sql):
    return lambda: sql("SELECT count(*) FROM redemptions")[0][0]


def test_a_write_whose_connection_dies_before_the_commit_is_run_again(
    app, client, make, terminate, redemptions
):
    code = make.voucher()
    with before(app, "UPDATE vouchers", terminate):
        assert validate(client, code).status_code == 201
    assert redemptions() == 1


@pytest.mark.parametrize("sqlstate", [serialization_failure, read_only])
def test_a_write_that_the_database_undid_is_run_again(app, client, make, redemptions, sqlstate):
    code = make.voucher()
    refuse = f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"
    with before(app, "UPDATE vouchers", lambda connection: refuse):
        assert validate(client, code).status_code == 201
    assert redemptions() == 1


@pytest.mark.parametrize("fragment", ["FROM api_keys", "FROM vouchers"])
def test_a_read_whose_connection_dies_is_run_again(app, client, make, terminate, fragment):
    make.voucher()
    with before(app, fragment, terminate):
        assert len(client.get(f"/vouchers?email={ana}").json) == 1


def test_a_connection_that_dies_as_the_transaction_begins_is_replaced(
    app, client, make, sql, redemptions
):
    code = make.voucher(max_redemptions=2)
    assert validate(client, code).status_code == 201

    def end(connection, *_):
        if acts:
            acts.pop(0)(connection.info.backend_pid)

    # The API key's check comes first, the transaction second.
    acts = [lambda _: None, lambda pid: sql("SELECT pg_terminate_backend(:pid, 5000)", pid=pid)]
    with app.app_context():
        event.listen(db.engine.pool, "checkout", end)
        assert validate(client, code).status_code == 201
        event.remove(db.engine.pool, "checkout", end)
    assert redemptions() == 2


def test_a_transaction_leaves_nothing_set_on_its_connection(app):
    with app.app_context():
        seen = []
        with transaction():
            connection = db.session.connection().connection.driver_connection
            db.session.execute(text("SELECT 1"))
            seen.append((connection.autocommit, connection.isolation_level))
        seen.append((connection.autocommit, connection.isolation_level))
    assert seen == [(False, None), (True, None)]


def test_what_dies_twice_is_503_and_may_be_tried_again(app, client, make, terminate, redemptions):
    code = make.voucher()
    with before(app, "UPDATE vouchers", terminate, times=2):
        answer = validate(client, code)
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert redemptions() == 0
    assert validate(client, code).status_code == 201


@pytest.fixture(params=["not committed", "committed"])
def lose(request, terminate):
    """Return a function that loses the connection just before or just after its commit."""

    def run(connection):
        if request.param == "committed":
            connection.exec_driver_sql("COMMIT")
        terminate(connection)

    return run


@pytest.mark.parametrize(
    "name", [{"headers": {"Idempotency-Key": "once"}}, {"order_ref": "order-1"}]
)
def test_a_request_with_a_name_of_its_own_redeems_once_when_the_commit_is_lost(
    app, client, make, redemptions, lose, name
):
    code = make.voucher(max_redemptions=5)
    with once_at_commit(app, lose):
        first = validate(client, code, **name)
    assert first.status_code == 201
    assert validate(client, code, **name).json == first.json
    assert redemptions() == 1


def test_without_a_name_a_lost_commit_is_reported_and_not_run_again(
    app, client, make, redemptions, lose, request
):
    code = make.voucher(max_redemptions=5)
    with once_at_commit(app, lose):
        answer = validate(client, code)
    assert (answer.status_code, answer.json["code"]) == (503, "outcome_unknown")
    assert redemptions() == (1 if request.node.callspec.params["lose"] == "committed" else 0)


def test_a_refusal_is_answered_as_such_when_the_commit_that_keeps_it_is_lost(
    app, client, make, terminate
):
    code = make.voucher(days=-1)
    with once_at_commit(app, terminate):
        assert validate(client, code, order_ref="o").json["code"] == "voucher_expired"
