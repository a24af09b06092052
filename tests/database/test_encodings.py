"""Databases, roles and locales with other ideas of letters."""

import shutil
import subprocess

import flask_migrate
import pytest
from sqlalchemy import create_engine, text

from tests.builders import Builders, ana, in_days
from tests.conftest import config, memory
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.errors import CannotStart
from voucherpool.local.postgres import LocalPostgres
from voucherpool.readiness import durability


def run(url, statement):
    """Run one statement outside of any transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        rows = result.all() if result.returns_rows else None
    engine.dispose()
    return rows


@pytest.fixture
def ascii_url(database_url):
    """Return the address of a database that looks at no encoding."""
    name = f"{database_url.database}_ascii"
    run(
        database_url,
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII'"
        " LOCALE_PROVIDER libc LOCALE 'C'",
    )
    yield database_url.set(database=name)
    run(database_url, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_without_utf8_is_not_upgraded_not_served_from_and_not_ready(ascii_url):
    app = create_app(config(ascii_url))
    told = r"The database's encoding is SQL_ASCII, not UTF8: .* --encoding=UTF8"
    with app.app_context(), pytest.raises(CannotStart, match=told):
        flask_migrate.upgrade()
    assert run(ascii_url, "SELECT to_regclass('vouchers')") == [(None,)]
    with pytest.raises(CannotStart, match=told):
        durability.require(app.config)
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert "SQL_ASCII" in answer.json["reason"]


@pytest.mark.parametrize("timeouts", ["connection", "role"])
def test_a_client_encoding_of_the_database_changes_nothing(own_app, timeouts):
    with own_app.app_context():
        url = db.engine.url
    run(url, f"ALTER DATABASE {url.database} SET client_encoding = 'LATIN1'")
    app = create_app(Config(url, timeouts=timeouts))
    body = {"email": ana, "name": "Łucja 李"}
    assert open_shop(app).post("/customers", json=body).json["name"] == "Łucja 李"
    assert run(
        url.update_query_dict({"client_encoding": "UTF8"}), "SELECT name FROM customers"
    ) == [("Łucja 李",)]
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def turkish_url(monkeypatch):
    """Return the address of a database in which the capital of i is İ."""
    with memory("turkish") as home:
        locale = home / "locales" / "tr_TR.UTF-8"
        locale.parent.mkdir(mode=0o755)
        compile_it = ("localedef", "-i", "tr_TR", "-f", "UTF-8", str(locale))
        if not shutil.which("localedef") or subprocess.run(compile_it).returncode:
            pytest.skip("needs the sources of the Turkish locale (Debian: apt install locales)")
        monkeypatch.setenv("LOCPATH", str(locale.parent))
        postgres = LocalPostgres(home / "postgres", fsync="off")
        postgres.start()
        run(
            postgres.url(),
            "CREATE DATABASE turkish TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'tr_TR.UTF-8'",
        )
        yield postgres.url().set(database="turkish")


def test_a_code_is_the_same_in_a_turkish_locale(turkish_url):
    assert run(turkish_url, "SELECT upper('i')") == [("İ",)]
    app = create_app(config(turkish_url))
    with app.app_context():
        flask_migrate.upgrade()
    client = open_shop(app)
    Builders(app).customer(ana)
    asked = {"email": ana, "offer_name": "Kiwi", "discount": 5, "expiry": in_days(1)}
    assert client.post("/vouchers/generate", json=asked | {"code": "kiwi-26"}).status_code == 201
    assert client.redeem("KIWI 26").status_code == 201
    with app.app_context():
        db.engine.dispose()


def test_no_locale_decides_what_the_schema_checks_or_finds(sql):
    defined = """
        SELECT definition FROM (
            SELECT pg_get_constraintdef(oid) FROM pg_constraint
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ) AS ours(definition)
        WHERE definition ~* '\\m(upper|lower|initcap|casefold)\\(|~~?\\*'
        AND definition NOT LIKE '%COLLATE "C"%'"""
    assert sql(defined) == []
