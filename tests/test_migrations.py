"""The migrations build what the models describe."""

from datetime import timedelta
from threading import Thread

import flask_migrate
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.builders import Builders
from tests.conftest import config
from tests.gate import Gate
from tests.patience import most_seconds
from voucherpool import create_app
from voucherpool.archive import moving, partitions
from voucherpool.config import checkout
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.operations import integrity

pytestmark = pytest.mark.one_machine("is about the schema before any distribution")

revisions = list((checkout / "migrations" / "versions").glob("*.py"))

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
    flask_migrate.downgrade(revision="base")
    with db.engine.connect() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    db.create_all()
    from_models = described()
    db.drop_all()
    flask_migrate.upgrade()
    with db.engine.connect() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    from_migrations = described()
    assert from_migrations == from_models


def test_each_revision_can_be_taken_back_and_run_again(context):
    before = described()
    for _ in revisions:
        flask_migrate.downgrade()
        below = described()
        flask_migrate.upgrade(revision="+1")
        assert described() != below
        flask_migrate.downgrade()
        assert described() == below
    assert described()["columns"] == [
        "('alembic_version', 'version_num', 'character varying', None, 'NO', None, 'NO', None)"
    ]
    flask_migrate.upgrade()
    assert described() == before


def test_taking_the_archive_back_keeps_the_books(own_app, context):
    Builders(own_app).voucher(days=-100)
    with transaction():
        assert moving.archive(timedelta(days=90), 0) == 1
    db.session.remove()
    flask_migrate.downgrade(revision="0007")
    flask_migrate.upgrade()
    assert not any(integrity.breaches().values())


unfinished = """
    INSERT INTO webhooks (url, event_types, secret, active_from, parks_through, deleted_at)
    VALUES ('http://a/', '{x}', '', now(), 2, NULL), ('http://b/', '{x}', '', now(), NULL, now());
    INSERT INTO deliveries (webhook_id, event_number)
    SELECT id, number FROM webhooks, generate_series(1, 3) AS number"""


def test_going_back_parks_and_deletes_what_the_worker_had_not_come_to(context):
    with transaction():
        db.session.execute(text(unfinished))
    db.session.remove()
    flask_migrate.downgrade(revision="0017")
    left = "SELECT webhook_id, event_number, state FROM deliveries ORDER BY event_number"
    rows = db.session.execute(text(left)).all()
    assert rows == [(1, 1, "parked"), (1, 2, "parked"), (1, 3, "waiting")]
    db.session.remove()
    flask_migrate.upgrade()


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
            flask_migrate.downgrade(revision="base")
            flask_migrate.upgrade()

    second = Thread(target=migrate)
    with db.engine.connect() as first:
        first.execute(text("SELECT pg_advisory_lock(706202611)"))
        second.start()
        Gate(db.engine.url).until_waiting(1)
        assert "vouchers" in str(described()["columns"])
        first.execute(text("SELECT pg_advisory_unlock(706202611)"))
    second.join(most_seconds)
    assert not second.is_alive()


def test_a_host_that_takes_no_writes_is_not_migrated(database_url):
    read_only = {"options": "-c default_transaction_read_only=on"}
    app = create_app(config(database_url.update_query_dict(read_only)))
    with app.app_context(), pytest.raises(OperationalError, match="read-only"):
        flask_migrate.upgrade()
