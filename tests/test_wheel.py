"""The wheel: in an environment of its own and an empty folder, it migrates, serves and redeems."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from contextlib import closing
from http.client import HTTPConnection
from importlib.metadata import requires

import pytest
from pytest_postgresql.janitor import DatabaseJanitor

from tests.builders import in_days
from tests.conftest import _url
from tests.patience import most_seconds
from tests.server import free_port, wait_until_listening
from voucherpool.config.settings import checkout, durability

parts = ("voucherpool", "migrations", "seeds", "docs", "client")
files = ("setup.cfg", "pyproject.toml", "gunicorn.conf.py", "wsgi.py", "README.md", "LICENSE")


@pytest.fixture
def programs(tmp_path):
    """Return the folder of the programs of an environment in which the wheel is installed."""
    tree, home = tmp_path / "tree", tmp_path / "environment"
    for part in parts:
        shutil.copytree(checkout / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in files:
        shutil.copy(checkout / name, tree)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    venv.create(home, symlinks=True)
    # The packages that it needs come from the tests' environment, without the checkout itself.
    [packages] = home.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib"))
    [wheel] = tmp_path.glob("voucherpool-*.whl")
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    install = [*pip, "install", "--no-deps", "--no-index", wheel]
    subprocess.run([home / "bin" / "python", *install], check=True)
    (home / "bin" / "gunicorn").write_text(
        f"#!{home}/bin/python\nfrom gunicorn.app.wsgiapp import run\nrun()\n"
    )
    (home / "bin" / "gunicorn").chmod(0o755)
    return home / "bin"


@pytest.fixture
def environment(migrated):
    """Return the variables of a service on an empty database."""
    address = {"host": migrated.host, "port": migrated.port, "user": migrated.user}
    address |= {"password": migrated.password, "dbname": f"{migrated.dbname}wheel"}
    with DatabaseJanitor(**address):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        url = _url(**address).render_as_string(hide_password=False)
        yield {**kept, "DATABASE_URL": url, "VOUCHERPOOL_TOLERATE_OFF": ",".join(durability)}


@pytest.mark.long
def test_the_wheel_serves_and_redeems_from_an_empty_folder(programs, environment, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()

    def run(*arguments):
        command = [programs / "voucherpool", *arguments]
        return subprocess.run(
            command, cwd=empty, env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()

    run("db", "upgrade")
    assert run("seed") == "Added 10 customers, 3 offers and 23 vouchers."
    key = run("apikeys", "create", "shop", "--scope", "issue", "--scope", "redeem")
    port = free_port()
    process = subprocess.Popen(
        [programs / "voucherpool", "serve", "--bind", f"127.0.0.1:{port}"],
        cwd=empty,
        env=environment,
    )
    worker = subprocess.Popen(
        [programs / "voucherpool", "worker"],
        cwd=empty,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_listening(port, process)
        assert "The worker begins." in worker.stderr.readline()
        voucher = {"email": "customer1@gmail.com", "offer_name": "KOI", "discount": 22.1}
        code = post(port, key, "/vouchers/generate", voucher | {"expiry": in_days(1)})["code"]
        redeemed = post(port, key, "/vouchers/redeem", {"code": code, "email": voucher["email"]})
        assert redeemed["discount"] == 22.1
        assert worker.poll() is None
    finally:
        for started in (process, worker):
            started.terminate()
        assert [started.wait(most_seconds) for started in (process, worker)] == [0, 0]
        worker.stderr.close()
    assert list(empty.iterdir()) == []


def test_the_service_needs_no_package_that_only_builds_it():
    needed = [one for one in requires("voucherpool") if "extra ==" not in one]
    assert any(one.startswith("flask") for one in needed)
    assert not any(one.startswith("setuptools") for one in needed)


def post(port, key, path, body):
    with closing(HTTPConnection("127.0.0.1", port, timeout=most_seconds)) as connection:
        connection.request("POST", path, json.dumps(body), {"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        assert answer.status == 201
        return json.loads(answer.read())
