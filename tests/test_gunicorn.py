"""gunicorn's master killed with -9: its workers, its port and its folder of counts."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.patience import most_seconds, until
from tests.server import children, free_port, start_gunicorn, wait_until_listening
from voucherpool.local import processes


@pytest.fixture
def log(tmp_path_factory):
    """Return the file of the log of all gunicorns of the test."""
    return tmp_path_factory.mktemp("log") / "gunicorn.log"


@pytest.fixture
def start(database_url, tmp_path, log):
    """Return a function that starts gunicorn on a port, with the test's own temporary folder."""
    started = []

    def run(port):
        with open(log, "ab") as file:
            process = start_gunicorn(database_url, port, log=file.fileno(), TMPDIR=str(tmp_path))
        started.append(process)
        wait_until_listening(port, process)
        return process

    yield run
    for process in started:
        with suppress(ProcessLookupError):  # where none of them lives
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def workers(master):
    """Wait until the master has its two workers, and return their process ids."""
    until(lambda: len(children(master.pid)) == 2)
    return children(master.pid)


def kill(master):
    os.kill(master.pid, signal.SIGKILL)
    master.wait()


def lives(process_id):
    with suppress(FileNotFoundError):
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def accepts(port):
    with (
        suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=most_seconds),
    ):
        return True
    return False


def livez(port):
    with closing(HTTPConnection("127.0.0.1", port, timeout=most_seconds)) as connection:
        connection.request("GET", "/livez")
        return connection.getresponse().status


orphan = f"""
import os, runpy, signal, time

end_with = runpy.run_path({processes.__file__!r})["end_with"]
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
print("orphaned", flush=True)
end_with(parent, signal.SIGKILL)
print("survived", flush=True)
"""


def test_a_process_whose_parent_died_before_it_asked_ends_too():
    output = subprocess.check_output([sys.executable, "-c", orphan], timeout=most_seconds)
    assert output == b"orphaned\n"


def folders(tmp_path):
    return {folder.name for folder in tmp_path.iterdir()}


def is_locked(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    with suppress(BlockingIOError), ExitStack() as stack:
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


@pytest.fixture
def of_another(tmp_path):
    """Make the folder of another gunicorn, which runs and so locks it, and return the name."""
    folder = tmp_path / "voucherpool-counts-1-another"
    folder.mkdir()
    with ExitStack() as stack:
        descriptor = os.open(folder, os.O_RDONLY)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder.name


@pytest.mark.long
def test_of_a_killed_master_neither_workers_nor_port_nor_folder_stay(
    start, tmp_path, log, of_another
):
    port = free_port()
    killed = start(port)
    assert livez(port) == 200
    orphans = workers(killed)
    [of_killed] = folders(tmp_path) - {of_another}
    assert is_locked(tmp_path / of_killed)
    with socket.create_connection(("127.0.0.1", port)):  # a client that says nothing
        kill(killed)
        # A process looks dead while a thread of it still holds the port.
        until(lambda: not any(map(lives, orphans)) and not accepts(port))
        # They were killed before they looked whether their master lives, as they do each second.
        assert "Parent changed" not in log.read_text()
        successor = start(port)
        assert livez(port) == 200
        assert len(workers(successor)) == 2
    [of_successor] = folders(tmp_path) - {of_another}
    assert of_successor != of_killed
    successor.terminate()
    successor.wait(most_seconds)
    assert folders(tmp_path) == {of_another}
