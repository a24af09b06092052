"""Runs the migrations: one migrator at a time, without blocking the shop for long."""

import re

from alembic import context
from flask import current_app
from sqlalchemy import Connection, NullPool, create_engine, text

from voucherpool.errors import CannotStart
from voucherpool.readiness import durability

migrate = current_app.extensions["migrate"]
migrator_lock = 706202611  # any number that no other program on this database uses

partition = re.compile(r"archived_[a-z]+_\d{4}_\d{2}")  # made and dropped by the archive, not by us


def is_described(name: str | None, kind: str, parents: object) -> bool:
    return kind != "table" or not partition.fullmatch(name or "")


def run(connection: Connection | None = None, **options: object) -> None:
    context.configure(
        connection=connection,
        target_metadata=migrate.db.metadata,
        include_name=is_described,
        transaction_per_migration=True,
        **options,
        **migrate.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run(dialect_name="postgresql", literal_binds=True)
else:
    # The connection ends here and releases the lock, even if a migration fails. It goes to the
    # primary like the service's connections, but without their short timeouts.
    settings = current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"]
    kept = {name: value for name, value in settings.items() if name != "options"}
    engine = create_engine(migrate.db.engine.url, poolclass=NullPool, connect_args=kept)
    with engine.connect() as connection:
        if reason := durability.encoding_problem(connection):
            raise CannotStart(reason)
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": migrator_lock})
        # Fail and run again rather than queue in front of the shop's statements.
        connection.execute(text("SET lock_timeout = '2s'"))
        connection.execute(text("SET statement_timeout = '60s'"))
        connection.commit()
        run(connection)
