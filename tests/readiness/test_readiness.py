"""A database that is not ready: empty, behind, ahead or away."""

import json
import re
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import flask_migrate
import pytest
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy import text

from tests.builders import in_days
from tests.conftest import _url, config
from tests.patience import most_seconds, until
from tests.server import Server, patient_app, run_gunicorn, start_python
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.database.model import db
from voucherpool.readiness import obstacles as readiness
from voucherpool.readiness import revisions

pytestmark = pytest.mark.one_machine("is about databases of its own")

logger = "voucherpool.readiness.obstacles"
well_formed_key = f"vp_{'a' * 40}{apikeys._checksum('a' * 40)}"


@pytest.fixture
def empty_url(migrated):
    """Return the address of a database in which nothing is."""
    address = {"host": migrated.host, "port": migrated.port, "user": migrated.user}
    address |= {"password": migrated.password, "dbname": f"{migrated.dbname}empty"}
    with DatabaseJanitor(**address):
        yield _url(**address)


@pytest.fixture
def door(empty_url, tmp_path_factory):
    """Return the empty database's address at a socket that is not there, and what opens it."""
    if not str(empty_url.query["host"]).startswith("/"):
        pytest.skip("needs a PostgreSQL that listens on a socket")
    name = f".s.PGSQL.{empty_url.query['port']}"
    folder = tmp_path_factory.mktemp("door")
    real = Path(empty_url.query["host"], name)
    return (
        empty_url.update_query_dict({"host": str(folder)}),
        lambda: (folder / name).symlink_to(real),
    )


class Log:
    """The log of a process, in a file."""

    def __init__(self, path):
        self._path, self._began = path, time.monotonic()

    def minutes(self):
        """Return how many minutes are over since the process began."""
        return int((time.monotonic() - self._began) / 60)

    def lines(self):
        """Return the messages about the readiness of the database."""
        records = map(json.loads, self._path.read_text().splitlines())
        return [record["message"] for record in records if record["logger"] == logger]

    def has_errors(self):
        return any(word in self._path.read_text() for word in ("ERROR", "Traceback", "exc_info"))


@pytest.fixture
def run(tmp_path):
    """Return a function that runs gunicorn and a worker, and gives the former and both logs."""
    with ExitStack() as running:

        def start(url):
            logs = [tmp_path / name for name in ("service", "worker")]
            service, worker = (running.enter_context(open(log, "wb")).fileno() for log in logs)
            process = start_python(url, "voucherpool", "worker", stderr=worker)
            running.callback(process.wait, most_seconds)
            running.callback(process.terminate)
            port = running.enter_context(run_gunicorn(url, patient_app, log=service))
            return Server(port, well_formed_key), [Log(path) for path in logs]

        yield start


@pytest.fixture
def upgrade(empty_url):
    """Return a function that migrates the empty database."""

    def run():
        app = create_app(config(empty_url))
        with app.app_context():
            flask_migrate.upgrade()
            db.engine.dispose()

    return run


def require_503(server, reason):
    """Send some requests, which must all be refused for now, and ask /readyz for the reason."""
    body = {"email": "a@example.org", "offer_name": "K", "discount": 1, "expiry": in_days(1)}
    for path, asked in (("/vouchers/generate", body), ("/customers", {"email": "a@example.org"})):
        status, answer = server.post(path, asked)
        assert (status, answer["code"]) == (503, "database_unavailable")
    status, answer = server.request("GET", "/readyz", None)
    assert (status, answer["status"]) == (503, "not ready")
    assert reason in answer["reason"]


def require_a_batch(server, url):
    """Make an API key, and with it a batch, which a worker must do."""
    app = create_app(config(url))
    with app.app_context():
        server.key = apikeys.create("shop", apikeys.scopes)
        db.session.remove()
        db.engine.dispose()
    status, offer = server.post("/offers", {"name": "KOI", "discount": 1})
    assert status == 201
    asked = {"count": 2, "expiry": in_days(1)}
    _, batch = server.post(f"/offers/{offer['id']}/batches", asked)
    path = f"/batches/{batch['id']}"
    until(lambda: server.request("GET", path, None)[1]["state"] == "done")


def require_few_lines(logs, *reasons):
    """Each log must have a line for each reason in turn, again each minute, and one at the end."""
    over = "The database is ready."
    until(lambda: all(over in log.lines() for log in logs))
    for log in logs:
        told = log.lines()
        assert told.pop() == over
        assert len(told) <= len(reasons) + log.minutes()
        named = [reason for line in told for reason in reasons if reason in line]
        assert len(named) == len(told)
        assert tuple(dict.fromkeys(named)) == reasons
        assert not log.has_errors()


@pytest.mark.long
def test_service_and_worker_wait_for_a_postgresql_that_starts_later_and_until_it_is_migrated(
    door, run, upgrade
):
    url, open_it = door
    away, empty = "No such file or directory", "run `voucherpool db upgrade`"
    server, logs = run(url)
    require_503(server, away)
    until(lambda: all(log.lines() for log in logs))
    open_it()
    until(lambda: all(empty in log.lines()[-1] for log in logs))
    # Each worker process looks for itself.
    until(
        lambda: all(
            empty in server.request("GET", "/readyz", None)[1]["reason"] for _ in "12345678"
        )
    )
    for _ in range(5):
        require_503(server, empty)
    upgrade()
    until(lambda: server.send("/readyz", None, "GET")[0] == 200)
    require_a_batch(server, url)
    require_few_lines(logs, away, empty)


def test_no_route_answers_500_on_an_empty_database(empty_url):
    app = create_app(config(empty_url))
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {well_formed_key}"
    statuses = {
        client.open(re.sub("<.*?>", "1", rule.rule), method=method, json={}).status_code
        for rule in app.url_map.iter_rules()
        for method in rule.methods
        if not (rule.rule.startswith("/console") and method == "POST")  # refused before it looks
    }
    assert statuses == {200, 302, 404, 503}
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def newer(own_app):
    """Return a client of a database that a newer program has upgraded, and what changes it."""

    def change(statement):
        with own_app.app_context(), db.engine.begin() as connection:
            connection.execute(text(statement))

    change("UPDATE alembic_version SET version_num = '9999'")
    return open_shop(own_app), change


def test_a_newer_database_is_served_until_the_program_follows_but_it_is_told(newer):
    client, _ = newer
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    assert "9999" in answer.json["reason"]
    assert "upgrade the program" in answer.json["reason"]
    assert client.post("/customers", json={"email": "a@example.org"}).status_code == 201


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE customers RENAME COLUMN name TO names", "DROP TABLE customers CASCADE"],
)
def test_a_newer_database_without_what_the_program_needs_is_503_and_says_so(newer, change):
    client, run = newer
    run(change)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "not ready")
    assert "upgrade the program" in answer.json["reason"]
    answer = client.post("/customers", json={"email": "a@example.org"})
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_column_that_only_a_newer_program_fills_is_503(newer):
    client, run = newer
    run("ALTER TABLE customers ADD added text NOT NULL")
    answer = client.post("/customers", json={"email": "a@example.org"})
    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")


def test_a_table_that_is_missing_at_the_right_revision_is_a_bug(newer):
    client, run = newer
    run(f"UPDATE alembic_version SET version_num = '{revisions.newest()}'")
    run("DROP TABLE customers CASCADE")
    assert client.post("/customers", json={"email": "a@example.org"}).status_code == 500


def test_a_line_comes_at_once_then_each_minute_and_one_when_it_is_over(caplog):
    caplog.set_level("INFO", logger)
    lines = readiness.Lines()
    for seconds, reason in (
        *((0, None), (1, "refused"), (2, "refused"), (60, "refused"), (61, "refused")),
        *((62, "refused"), (63, "empty"), (64, "empty"), (65, None), (66, None), (67, "empty")),
    ):
        lines.write(readiness.Obstacle(reason) if reason else None, seconds)
    assert caplog.messages == [
        *("refused", "refused", "empty"),
        *("The database is ready.", "empty"),
    ]


def test_a_worker_that_is_told_to_stop_waits_no_longer(empty_url):
    stopping = Event()
    stopping.set()
    assert readiness.Readiness(config(empty_url).for_flask()).wait(stopping)
