"""The migrations build what the models describe."""

from threading import Thread

import flask_migrate
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.conftest import config
from tests.emptying import drop_schema
from tests.gate import Gate
from tests.patience import most_seconds
from voucherpool import create_app
from voucherpool.archive import partitions
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction

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
