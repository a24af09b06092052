"""The local PostgreSQL."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from voucherpool.local.postgres import LocalPostgres, LocalPostgresError


@pytest.fixture
def postgres():
    """Return a cluster, not started yet, in a path with unusual characters."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="vp ü %é'", dir=memory) as directory:
        Path(directory).chmod(0o711)
        postgres = LocalPostgres(Path(directory) / "postgres", fsync="off")
        yield postgres
        postgres.stop("immediate")


def query(postgres, statement):
    engine = create_engine(postgres.url(), poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        return tuple(result.one()) if result.returns_rows else None


def test_it_starts_stops_and_keeps_its_data(postgres):
    postgres.start()
    query(postgres, "CREATE TABLE kept AS SELECT 1 AS one")
    postgres.start()
    postgres.stop()
    assert not postgres.is_running()
    postgres.start()
    assert query(postgres, "SELECT one FROM kept") == (1,)


def test_its_text_is_utf_8_and_folds_beyond_ascii_whatever_lang_says(postgres, monkeypatch):
    monkeypatch.setenv("LANG", "xx_XX.UTF-8")
    monkeypatch.setenv("PGPORT", "1")
    postgres.start()
    assert query(postgres, "SHOW server_encoding") == ("UTF8",)
    assert query(postgres, "SELECT lower('Ä')") == ("ä",)


def kill(postgres):
    pid = int((postgres.data / "postmaster.pid").read_text().split("\n")[0])
    os.kill(pid, signal.SIGKILL)


def test_after_a_kill_it_starts_again_at_once_with_all_that_was_committed(postgres):
    postgres.start()
    query(postgres, "CREATE TABLE kept AS SELECT 1 AS one")
    kill(postgres)
    postgres.start()
    assert query(postgres, "SELECT one FROM kept") == (1,)


def test_a_stale_file_that_names_a_living_stranger_hurts_nobody(postgres):
    postgres.start()
    kill(postgres)
    file = postgres.data / "postmaster.pid"
    lines = file.read_text().split("\n")
    file.write_text("\n".join([str(os.getppid()), *lines[1:]]))
    assert not postgres.is_running()
    postgres.start()
    assert query(postgres, "SELECT 1") == (1,)


def test_an_interrupted_initdb_is_begun_again(postgres):
    (postgres.home / "data.new").mkdir(parents=True)
    (postgres.home / "data.new" / "half").touch()
    postgres.start()
    assert query(postgres, "SELECT 1") == (1,)


def test_a_path_too_long_for_a_socket_is_refused_with_the_reason(postgres):
    postgres = LocalPostgres(postgres.home.parent / ("x" * 100))
    with pytest.raises(LocalPostgresError, match="too long"):
        postgres.start()
