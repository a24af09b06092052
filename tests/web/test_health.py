"""/livez and /readyz."""

import flask_migrate
from sqlalchemy import text

from voucherpool import create_app
from voucherpool.config import Config
from voucherpool.database.model import db


def test_livez_asks_nothing_of_the_database(database_url):
    nowhere = database_url.set(query={"host": "/nonexistent"})
    answer = create_app(Config(nowhere)).test_client().get("/livez")
    assert (answer.status_code, answer.json) == (200, {"status": "alive"})


def test_readyz_is_200_on_a_migrated_database(anonymous):
    answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_readyz_is_503_and_says_why_when_the_database_is_behind(own_app):
    with own_app.app_context():
        flask_migrate.downgrade()
    answer = own_app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert "voucherpool db upgrade" in answer.json["reason"]


def test_a_database_that_is_ahead_is_served_until_the_code_follows(own_app):
    with own_app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert own_app.test_client().get("/readyz").status_code == 200


def test_readyz_is_503_when_the_database_is_away(database_url):
    nowhere = database_url.set(query={"host": "/nonexistent"})
    answer = create_app(Config(nowhere)).test_client().get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (503, "not ready")
