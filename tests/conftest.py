"""A real PostgreSQL for the tests: one server a run, built by the migrations, empty for each test.

TEST_DATABASE_URL names a server to use, and CITUS_URL the coordinator of a cluster; without them
one is started from the embedded binaries.
"""

import gc
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from flask.testing import FlaskClient
from pytest_postgresql import factories
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from tests import cluster, emptying
from tests.builders import Builders
from tests.gate import Gate, senders
from tests.patience import be_patient, most_seconds, patient
from tests.server import (
    Server,
    any_guesses,
    patient_app,
    run_gunicorn,
    secret_key,
    start_python,
)
from tests.shop import Shop, open_shop
from tests.storms import watched
from tests.webhooks.receiving import Receiver, receiving
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import Config, durability
from voucherpool.database.model import db
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import long_transaction
from voucherpool.http import probes, throttle
from voucherpool.local.postgres import LocalPostgres, LocalPostgresError
from voucherpool.operations import distributing, integrity

# Fast instead of durable: what the tests write is thrown away.
fast = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": 300,
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "checkpoint_timeout": "1h",
    "io_method": "sync",  # what is read is in memory
}

threads = 4 * senders
"""Each worker of gunicorn can have all senders of a race at work, and the files of all."""

be_patient()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip on a cluster what needs one machine, and elsewhere what needs a cluster."""
    for mark in item.iter_markers("one_machine"):
        if cluster.citus_url:
            pytest.skip(f"needs one machine: {mark.args[0]}")
    if item.get_closest_marker("cluster") and not cluster.citus_url:
        pytest.skip("needs a cluster: `make test-citus` runs it")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from looking through what stays until the end, again and again."""
    gc.disable()
    collected = yield
    gc.freeze()
    gc.enable()
    return collected


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[SimpleNamespace]:
    """Name the server in the attributes that pytest-postgresql reads."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        url = make_url(given)
        yield _server(
            host=url.host or url.query["host"],
            port=url.port or 5432,
            user=url.username,
            password=url.password,
            maintenance_dbname=url.database,
        )
        return
    with memory("tests") as home:
        postgres = LocalPostgres(home / "postgres", **fast)
        postgres.start()
        yield _server(host=str(postgres.run), port=5432, user="postgres")


@contextmanager
def memory(name: str) -> Iterator[Path]:
    """Make a folder for a PostgreSQL, in memory where there is some, and remove both again."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else tempfile.gettempdir()
    for left in Path(parent).glob(f"voucherpool-{name}-*"):  # by runs that were killed
        dead = not Path("/proc", left.name.rpartition("-")[2]).exists()
        with suppress(OSError, LocalPostgresError):  # another process removes it at the same time
            if dead and left.stat().st_uid == os.getuid():
                _remove(left)
    home = Path(parent, f"voucherpool-{name}-{os.getpid()}")
    home.mkdir(mode=0o711)  # root's PostgreSQL runs as nobody and must get in
    try:
        yield home
    finally:
        _remove(home)


def _remove(home: Path) -> None:
    LocalPostgres(home / "postgres").stop("immediate")
    shutil.rmtree(home)


def _server(**attributes: Any) -> SimpleNamespace:
    defaults = {"password": None, "options": "", "maintenance_dbname": "postgres"}
    return SimpleNamespace(template_dbname=None, **defaults | attributes)


def _url(host: str, port: int, user: str, dbname: str, password: str | None = None) -> URL:
    query = {"host": host, "port": str(port)}
    return patient(URL.create("postgresql+psycopg2", user, password, database=dbname, query=query))


def config(database_url: URL) -> Config:
    """Return a configuration that tolerates a server which is fast instead of durable."""
    return Config(database_url, tolerate_off=durability, secret_keys=(secret_key,))


def _migrate(**database: Any) -> None:
    address = {key: database.get(key) for key in ("host", "port", "user", "dbname", "password")}
    with create_app(config(_url(**address))).app_context():
        flask_migrate.upgrade()


@contextmanager
def _spread_database(name: str) -> Iterator[Flask]:
    """Return an application on a new database of the cluster."""
    with cluster.database(f"{name}_{os.getpid()}") as url:
        app = create_app(config(patient(url)))
        with app.app_context():
            flask_migrate.upgrade()
            with long_transaction():
                list(distributing.distribute())
            db.session.remove()
        yield app
        with app.app_context():
            db.engine.dispose()


migrated = factories.postgresql_noproc(
    depends_on="postgresql_server", dbname=f"voucherpool_test_{os.getpid()}_", load=[_migrate]
)
postgresql = factories.postgresql("migrated")


@pytest.fixture(scope="session")
def shared_app(request: pytest.FixtureRequest) -> Iterator[Flask]:
    """Return one application on one database that the tests share, each finding it empty."""
    if cluster.citus_url:
        with _spread_database("voucherpool_shared") as app:
            yield app
        return
    migrated = request.getfixturevalue("migrated")
    address = {"host": migrated.host, "port": migrated.port, "user": migrated.user}
    address |= {"password": migrated.password, "dbname": f"{migrated.dbname}shared"}
    with DatabaseJanitor(**address, template_dbname=migrated.template_dbname):
        app = create_app(config(_url(**address)))
        yield app
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def database_url(shared_app: Flask) -> URL:
    """Return the address of the shared database, emptied."""
    with shared_app.app_context(), db.engine.connect() as connection:
        emptying.empty(connection)
        return db.engine.url


@pytest.fixture
def app(shared_app: Flask, database_url: URL) -> Flask:
    """Return the application on the emptied database; its unexpected errors reach the test."""
    shared_app.testing = True
    for part in (throttle, probes):
        part.init_app(shared_app)  # nothing is remembered from the test before
    shared_app.extensions["apikeys"].grants.clear()
    return shared_app


@pytest.fixture
def own_app(request: pytest.FixtureRequest) -> Iterator[Flask]:
    """Return an application on a database of the test's own, whose schema it may change."""
    if cluster.citus_url:
        with _spread_database("voucherpool_own") as app:
            yield app
        return
    info = request.getfixturevalue("postgresql").info
    app = create_app(config(_url(info.host, info.port, info.user, info.dbname, info.password)))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def make(app: Flask) -> Builders:
    """Return the builders of rows."""
    return Builders(app)


@pytest.fixture(scope="session")
def shared_key(shared_app: Flask) -> str:
    """Return an API key that may do everything, as soon as `key` has stored it again."""
    with shared_app.app_context():
        return apikeys.create("tests", apikeys.scopes)


@pytest.fixture
def key(app: Flask, shared_key: str) -> str:
    """Return an API key that may do everything: the same one, because making one takes longer."""
    digest = hashlib.sha256(shared_key.encode()).digest()
    with app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO api_keys (name, digest, scopes, last_used_at)"
            " VALUES ('tests', %s, %s, now()) ON CONFLICT DO NOTHING",
            (digest, sorted(apikeys.scopes)),
        )
    return shared_key


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    """Return a client without an API key."""
    return app.test_client()


@pytest.fixture
def client(app: Flask, key: str) -> Shop:
    """Return a client with an API key that may do everything."""
    return open_shop(app, key)


@pytest.fixture
def sql(app: Flask) -> Callable[..., Any]:
    """Return a function that runs a statement and returns its rows."""

    def run(statement: str, **parameters: Any) -> Any:
        with app.app_context(), db.engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return result.all() if result.returns_rows else None

    return run


@pytest.fixture
def explain(app: Flask) -> Callable[..., str]:
    """Return a function that runs a statement and returns PostgreSQL's plan of it."""

    def run(statement: Any, **values: Any) -> str:
        with app.app_context(), db.engine.connect() as connection:
            if isinstance(statement, Statement):
                prepare = statement.preparation.replace(statement.name, "explained", 1)
                connection.connection.cursor().execute(prepare)
                text = statement.execution.replace(statement.name, "explained", 1)
            else:
                text = statement.compile(db.engine)
                values = text.construct_params(values)
            rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {text}", values)
            plan = "\n".join(rows.scalars())
            connection.exec_driver_sql("DEALLOCATE ALL")
            connection.connection.info.pop("prepared", None)
            return plan

    return run


@pytest.fixture
def audit(app: Flask) -> Callable[[], None]:
    """Return a function that fails on any breach of the rules in the database."""

    def run() -> None:
        with app.app_context(), db.engine.connect() as connection:
            prepared = connection.connection.info.setdefault("prepared", set())
            if "audited" not in prepared:  # planning it takes longer than running it
                query = f"PREPARE audited AS {integrity.counts.compile(db.engine)}"
                connection.exec_driver_sql(query, integrity.of_email)
                prepared.add("audited")
            counts = connection.exec_driver_sql("EXECUTE audited").one()
        breaches = dict(zip(integrity.rules, counts, strict=True))
        assert not any(counts), breaches

    return run


@pytest.fixture
def voucherpool(database_url: URL) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that runs a command of voucherpool as a process of its own."""
    with ExitStack() as running:

        def run(*arguments: str, **environ: str) -> subprocess.Popen[str]:
            command = ("voucherpool", *arguments)
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = start_python(database_url, *command, environ=environ, **pipes)
            running.callback(process.communicate, timeout=most_seconds)
            running.callback(process.terminate)
            return process

        yield run


@pytest.fixture(scope="session")
def gunicorn_port(shared_app: Flask) -> Iterator[int]:
    """Run gunicorn with 2 workers on the shared database and return its port.

    They try as long as the gate is closed.
    """
    url = shared_app.config["SQLALCHEMY_DATABASE_URI"]
    settings = {"VOUCHERPOOL_THREADS": str(threads), "MOST_ATTEMPTS": "1000", **any_guesses}
    with run_gunicorn(url, patient_app, **settings) as port:
        yield port


@pytest.fixture
def gate(database_url: URL) -> Gate:
    """Return what lets the senders of a race start all at once."""
    return Gate(database_url)


@pytest.fixture
def server(gunicorn_port: int, key: str) -> Server:
    """Return the running gunicorn, on the emptied database."""
    return Server(gunicorn_port, key)


@pytest.fixture(scope="session")
def storm_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of the log of the storms' gunicorn."""
    return tmp_path_factory.mktemp("storm") / "gunicorn.log"


@pytest.fixture(scope="session")
def storm_port(shared_app: Flask, storm_log: Path) -> Iterator[int]:
    """Run gunicorn with 2 workers of 8 threads on the shared database and return its port."""
    url = shared_app.config["SQLALCHEMY_DATABASE_URI"]
    named = url.update_query_dict({"application_name": "storm"})
    with (
        open(storm_log, "wb") as file,
        run_gunicorn(
            named, patient_app, log=file.fileno(), VOUCHERPOOL_THREADS="8", **any_guesses
        ) as port,
    ):
        yield port


@pytest.fixture
def storm(
    storm_port: int, storm_log: Path, app: Flask, key: str, sql: Callable[..., Any], audit: Any
) -> Iterator[Server]:
    """Return a gunicorn for a storm, which may fail no request and break no rule."""
    with watched(sql, storm_log):
        yield Server(storm_port, key)
    audit()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver of webhooks."""
    with receiving() as receiver:
        yield receiver
