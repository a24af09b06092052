"""PostgreSQL's settings without which it may lose what it has committed."""

import os
import subprocess
import sys

import pytest

from tests.patience import most_seconds
from tests.server import free_port
from voucherpool import create_app
from voucherpool.config.settings import Config, checkout
from voucherpool.config.settings import durability as settings
from voucherpool.errors import CannotStart
from voucherpool.readiness import durability


@pytest.fixture
def lossy(database_url):
    """Return the address of a database whose commits are not waited for."""
    return database_url.update_query_dict({"options": "-c synchronous_commit=off"})


def test_a_database_that_may_lose_commits_is_refused_by_the_settings_name(lossy):
    with pytest.raises(CannotStart, match="synchronous_commit"):
        durability.require(Config(lossy).for_flask())
    with pytest.raises(CannotStart, match="synchronous_commit"):
        durability.require(
            Config(lossy, tolerate_off=settings - {"synchronous_commit"}).for_flask()
        )


def test_a_setting_is_tolerated_by_name(lossy):
    durability.require(Config(lossy, tolerate_off=settings).for_flask())


def test_a_database_that_does_not_answer_is_not_refused(database_url):
    durability.require(Config(database_url.set(query={"host": "/nonexistent"})).for_flask())


def test_readyz_says_so_too(lossy):
    answer = create_app(Config(lossy)).test_client().get("/readyz")
    assert answer.status_code == 503
    assert "synchronous_commit" in answer.json["reason"]


def test_gunicorn_does_not_start_and_leaves_nothing_behind(lossy, tmp_path):
    address = lossy.render_as_string(hide_password=False)
    environment = {**os.environ, "DATABASE_URL": address, "TMPDIR": str(tmp_path)}
    bind = f"127.0.0.1:{free_port()}"
    started = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--bind", bind, "wsgi:app"],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=most_seconds,
        check=False,
    )
    assert started.returncode == 1
    assert "Error: PostgreSQL runs with" in started.stderr
    assert list(tmp_path.iterdir()) == []
