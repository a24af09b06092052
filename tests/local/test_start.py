"""`voucherpool start`, run as its own process the way `make run` does."""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import takewhile
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import config
from tests.patience import most_seconds, until
from tests.server import children, free_port
from tests.test_gunicorn import lives
from voucherpool import create_app
from voucherpool.__main__ import main
from voucherpool.config.settings import checkout
from voucherpool.local.postgres import LocalPostgres


@pytest.fixture
def start(voucherpool, tmp_path):
    """Return a function that starts the service."""

    def run(port, **environ):
        directory = str(tmp_path / "var")
        return voucherpool("start", "--directory", directory, **{"PORT": str(port), **environ})

    return run


def until_serving(process):
    for line in process.stdout:
        if "Ctrl-C" in line:
            return
    raise AssertionError(process.stderr.read())


def call(port, method, path, body=None):
    with closing(HTTPConnection("127.0.0.1", port, timeout=most_seconds)) as connection:
        connection.request(method, path, body and json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None


def is_listening(port):
    try:
        call(port, "GET", "/livez")
    except ConnectionError:
        return False
    return True


varies = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16}"  # ids
    r"|whsec_[0-9A-Za-z+/=]+"
    r"|SPR(-[0-9A-Z]{2,4}){3}|[0-9A-Z]{4}(-[0-9A-Z]{4}){2}"  # codes
    r'|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+Z)?|(?<=id":)[0-9]+'
)
"""The parts of an answer that differ between two runs."""


@contextmanager
def shell():
    """Run a shell; yield a function that lets it make calls and returns the last line of them."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(["/bin/bash", "-e"], **pipes) as process:

        def run(calls):
            print(calls, "echo; echo =====", sep="\n", file=process.stdin, flush=True)
            lines = takewhile(lambda line: line != "=====\n", process.stdout)
            return [line.strip() for line in lines if line.strip()][-1:]

        yield run
        process.stdin.close()
        assert process.wait(most_seconds) == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="the calls are made with curl")
def test_it_serves_without_a_key_and_answers_the_guide_as_shown_until_it_is_told_to_stop(
    start, tmp_path, monkeypatch
):
    port = free_port()
    # A second worker might still begin, and would miss the signal to stop for ten seconds.
    settings = {"VOUCHERPOOL_WEBHOOKS_ALLOW": "127.0.0.0/8", "WEB_CONCURRENCY": "1"}
    process = start(port, DATABASE_URL="", **settings)
    until_serving(process)
    postgres = LocalPostgres(tmp_path / "var" / "postgres")
    assert postgres.is_running()
    monkeypatch.chdir(tmp_path)
    make_the_calls_of_the_guide(create_app(config(postgres.url())).test_cli_runner(), port)
    assert call(port, "POST", "/vouchers/lookup", {"code": "AAAA-BBBB-CCCC"})[0] == 404
    process.send_signal(signal.SIGINT)
    assert process.wait(most_seconds) == 0
    assert not is_listening(port)
    assert not postgres.is_running()
    # A line for each request; the banner came after all that the start had to say.
    *_, last = process.stderr.read().splitlines()
    shown = r"\d\d:\d\d:\d\d  404 +[\d.]+ ms  POST /vouchers/lookup  \(voucher_not_found\)"
    assert re.fullmatch(shown, last)


def make_the_calls_of_the_guide(runner, port):
    guide, answer = (checkout / "docs" / "guide.md").read_text(), []
    guide = guide.replace("127.0.0.1:5000", f"127.0.0.1:{port}").replace("100000", "1000")
    guide = guide.replace("99999", "999")
    with shell() as run:
        for kind, block in re.findall("```(sh|json)\n(.*?)```", guide, re.DOTALL):
            if kind == "json":
                assert varies.sub("…", *answer) == varies.sub("…", block.strip())
                continue
            # The commands run in this process, because each would take long to start.
            for calls in re.split("^(voucherpool .*)\n", block, flags=re.MULTILINE):
                if calls.startswith("voucherpool "):
                    ended = runner.invoke(args=shlex.split(calls.partition(" | ")[0])[1:])
                    assert ended.exit_code == 0, ended.output
                else:
                    answer = run(calls.replace("sleep 1;", "sleep 0.1;")) or answer


@pytest.fixture
def refusal(tmp_path):
    """Return a function that starts the service in this process; it must refuse with one line."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(port, database_url="postgresql://127.0.0.1:1/voucherpool"):
        environment = {"PORT": str(port), "DATABASE_URL": database_url}
        arguments = ["start", "--directory", str(tmp_path / "var")]
        ended = CliRunner().invoke(main, arguments, env=environment)
        assert (ended.exit_code, ended.stderr.count("\n")) == (1, 1)
        assert ended.stderr.startswith("Error: ")
        return ended.stderr

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_settings_of_e_mail_need_no_secret_key_beside_the_kept_one(
    refusal, server, monkeypatch
):
    mail = {"SMTP_URL": "smtp+plain://127.0.0.1", "MAIL_FROM": "shop@shop.example"}
    for name, value in {**mail, "PUBLIC_URL": "https://shop.example"}.items():
        monkeypatch.setenv(f"VOUCHERPOOL_{name}", value)
    assert f"Port {server.port} " in refusal(server.port)


def test_a_taken_port_is_one_line_and_exit_code_1(refusal, server):
    assert f"Port {server.port} " in refusal(server.port)


def test_the_port_is_checked_before_anything_is_made(refusal, server, tmp_path):
    refusal(server.port)
    assert not (tmp_path / "var").exists()


def test_a_running_twin_is_one_line_and_exit_code_1(refusal, tmp_path):
    (tmp_path / "var").mkdir()
    with open(tmp_path / "var" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("12345")
        lock.flush()
        assert "12345" in refusal(free_port())


def test_an_unreachable_database_is_one_line_and_exit_code_1(refusal):
    port = free_port()
    assert "database" in refusal(port)
    assert not is_listening(port)


def test_a_wrong_variable_is_one_line_and_exit_code_1(refusal):
    assert "PORT must be" in refusal("http")
    assert "DATABASE_URL must be" in refusal(free_port(), "nonsense")


@pytest.mark.long
@pytest.mark.parametrize("part", ["gunicorn", "worker"])
def test_a_kill_of_a_part_stops_everything_with_exit_code_1(start, part):
    port = free_port()
    process = start(port)
    until_serving(process)
    parts = children(process.pid)
    [pid] = [pid for pid in parts if part in Path(f"/proc/{pid}/cmdline").read_text()]
    os.kill(pid, signal.SIGKILL)
    assert process.wait(most_seconds) == 1
    assert not is_listening(port)
    assert not any(map(lives, parts))


@pytest.mark.long
def test_a_kill_of_the_start_leaves_nothing_running(start):
    port = free_port()
    process = start(port)
    until_serving(process)
    parts = children(process.pid)
    process.kill()
    process.wait()
    until(lambda: not any(map(lives, parts)))
    assert not is_listening(port)
