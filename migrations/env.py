"""Runs the migrations: one migrator at a time, and none that blocks the shop for long."""

from alembic import context
from flask import current_app
from sqlalchemy import Connection, NullPool, create_engine, text

migrate = current_app.extensions["migrate"]
migrator_lock = 706202611  # any number that no other program on this database uses


def run(connection: Connection | None = None, **options: object) -> None:
    context.configure(
        connection=connection,
        target_metadata=migrate.db.metadata,
        transaction_per_migration=True,
        **options,
        **migrate.configure_args,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run(dialect_name="postgresql", literal_binds=True)
else:
    # A connection that ends here: the lock goes with it, even when a migration fails.
    # Of several hosts the one that takes writes, and none of the service's short timeouts.
    settings = current_app.config["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"]
    kept = {name: value for name, value in settings.items() if name != "options"}
    engine = create_engine(migrate.db.engine.url, poolclass=NullPool, connect_args=kept)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": migrator_lock})
        # Better to fail and be run again than to queue in front of the shop's own statements.
        connection.execute(text("SET lock_timeout = '2s'"))
        connection.execute(text("SET statement_timeout = '60s'"))
        connection.commit()
        run(connection)
