"""The migrations build what the models describe."""

from threading import Thread

import flask_migrate
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.builders import Builders
from tests.conftest import config
from tests.emptying import drop_schema
from tests.gate import Gate
from tests.patience import most_seconds
from voucherpool import create_app
from voucherpool.archive import partitions
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.vouchers import codes

pytestmark = pytest.mark.one_machine("is about the schema before any distribution")

# Partitions come and go with the archive's months; their parents are described.
not_a_partition = """{table} NOT IN (SELECT oid FROM pg_class WHERE relispartition)"""

catalog = {
    "columns": """
        SELECT table_name, column_name, data_type, domain_name, is_nullable, column_default,
            is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' AND """
    + not_a_partition.format(table="to_regclass(table_name)"),
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contypid = 0 AND """
    + not_a_partition.format(table="conrelid"),
    "indexes": """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND """
    + not_a_partition.format(table="to_regclass(tablename)"),
    "storage": """
        SELECT relname, reloptions FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL""",
    "partitioning": "SELECT partrelid::regclass::text, pg_get_partkeydef(partrelid)"
    " FROM pg_partitioned_table",
    "domains": """
        SELECT typname, format_type(typbasetype, typtypmod), conname,
            replace(pg_get_constraintdef(pg_constraint.oid), ' NOT VALID', '')
        FROM pg_type LEFT JOIN pg_constraint ON contypid = pg_type.oid
        WHERE typtype = 'd' AND typnamespace = 'public'::regnamespace""",
    "functions": """
        SELECT oid::regprocedure::text, prosrc, provolatile FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace""",
}


def described():
    """Return all that the database's catalog says of our tables."""
    with db.engine.connect() as connection:
        return {
            kind: sorted(map(str, connection.execute(text(query)).all()))
            for kind, query in catalog.items()
        }


@pytest.fixture
def context(own_app):
    with own_app.app_context():
        yield


def test_the_models_describe_what_the_migrations_build(context):
    with db.engine.connect() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    from_migrations = described()
    drop_schema()
    db.create_all()
    assert from_migrations == described()


def test_going_back_from_the_first_revision_is_refused(context):
    with pytest.raises(SystemExit):
        flask_migrate.downgrade()
    assert "vouchers" in str(described()["columns"])


def test_alembic_finds_nothing_to_generate(context):
    flask_migrate.check()


def test_a_month_of_the_archive_is_no_drift(context):
    before = described()
    with transaction():
        partitions.ensure()
    assert db.session.scalar(text("SELECT count(*) FROM pg_class WHERE relispartition")) > 0
    assert described() == before
    flask_migrate.check()


def test_a_second_migrator_waits_for_the_first(own_app, context):
    def migrate():
        with own_app.app_context():
            flask_migrate.upgrade()

    drop_schema()
    second = Thread(target=migrate)
    with db.engine.connect() as first:
        first.execute(text("SELECT pg_advisory_lock(706202611)"))
        second.start()
        Gate(db.engine.url).until_waiting(1)
        assert "vouchers" not in str(described()["columns"])
        first.execute(text("SELECT pg_advisory_unlock(706202611)"))
    second.join(most_seconds)
    assert not second.is_alive()
    assert "vouchers" in str(described()["columns"])


def test_a_host_that_takes_no_writes_is_not_migrated(database_url):
    read_only = {"options": "-c default_transaction_read_only=on"}
    app = create_app(config(database_url.update_query_dict(read_only)))
    with app.app_context(), pytest.raises(OperationalError, match="read-only"):
        flask_migrate.upgrade()


@pytest.fixture
def make_own(own_app):
    """Return a function that makes a voucher of three uses, and returns its code in normal form."""
    make = Builders(own_app)

    def run(code):
        return codes.normal_form(make.voucher(code=code, max_redemptions=3))

    return run


def stored(query):
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_what_was_stored_before_is_brought_into_normal_form_and_twins_are_named(context, capfd):
    twin, alone = "u@bücher.example", "v@bücher.example"
    with db.engine.begin() as connection:
        for email, key in ((twin, twin), ("u@xn--bcher-kva.example",) * 2, (alone, alone)):
            connection.execute(
                text("INSERT INTO customers (email, email_key) VALUES (:email, :key)"),
                {"email": email, "key": key},
            )
        for name in ("Été", "E\u0301te\u0301", "Noël", "Fe\u0301te\u00a02030", "A\u200bB"):
            connection.execute(
                text("INSERT INTO offers (name, discount) VALUES (:name, 5)"), {"name": name}
            )
    flask_migrate.stamp(revision="0001")
    flask_migrate.upgrade()
    assert stored("SELECT email_key FROM customers ORDER BY id") == [
        (twin,),
        ("u@xn--bcher-kva.example",),
        ("v@xn--bcher-kva.example",),
    ]
    assert stored("SELECT name FROM offers ORDER BY id") == [
        ("Été",),
        ("E\u0301te\u0301",),
        ("Noël",),
        ("Féte 2030",),
        ("A\u200bB",),
    ]
    told = capfd.readouterr().err
    assert "Customers 2 and 1 have the same e-mail" in told
    assert "offers 2: its name looks the same as that of another row" in told
    assert "offers 5: its name holds an invisible character" in told
    assert twin not in told


def test_references_are_brought_into_normal_form_within_their_voucher(context, make_own):
    first, second = make_own("AAAA-1"), make_own("BBBB-2")
    for key, reference in ((first, "Été 1"), (first, "E\u0301te\u0301  1"), (second, "a  b")):
        with db.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO redemptions (code_key, customer_id, offer_id, order_ref, discount,"
                    " discount_type) VALUES (:key, 1, 1, :reference, 5, 'percentage')"
                ),
                {"key": key, "reference": reference},
            )
    flask_migrate.stamp(revision="0001")
    flask_migrate.upgrade()
    found = stored("SELECT order_ref FROM redemptions ORDER BY redeemed_at")
    assert found == [("Été 1",), ("E\u0301te\u0301  1",), ("a b",)]
