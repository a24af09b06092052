"""gunicorn's settings, partly from WEB_CONCURRENCY, VOUCHERPOOL_THREADS and PORT."""

import atexit
import fcntl
import logging.config
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Thread
from typing import Any

temporary = Path(tempfile.gettempdir())
prefix = "voucherpool-counts-"


def make_folder() -> str:
    """Create the folder of the workers' metrics, locked until the last process here ends."""
    folder = Path(tempfile.mkdtemp(prefix=f".{prefix}"))
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    # Rename it only now: another start must not find it unlocked.
    return str(folder.rename(temporary / f"{prefix}{os.getpid()}-{folder.name[-8:]}"))


def remove_unlocked() -> None:
    """Remove the folders of masters that were killed."""
    for folder in temporary.glob(f"{prefix}*"):
        with suppress(OSError), ExitStack() as stack:  # it is in use, or another user's
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


# Keep the folder on a reload (SIGHUP), but do not share it with a gunicorn that replaces this one.
# prometheus_client reads the variable on import.
if f"{prefix}{os.getpid()}-" not in os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = make_folder()
    remove_unlocked()


def remove_counts(master: int = os.getpid()) -> None:
    """Remove the metrics at exit, also after a failed start."""
    if os.getpid() == master:  # workers inherit this exit handler
        for _ in range(2):  # a worker that ends may write once more during the first
            shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


atexit.register(remove_counts)

from gunicorn import glogging
from prometheus_client import multiprocess

from voucherpool.config.settings import Config, misspelt
from voucherpool.errors import CannotStart
from voucherpool.observability import logs, metrics
from voucherpool.operations.processes import end_with
from voucherpool.readiness import durability
from voucherpool.readiness import obstacles as readiness

try:
    settings = Config.from_environment(os.environ)
except CannotStart as error:
    sys.exit(f"Error: {error}")

# wsgi.py stands beside this file, in a checkout and where a wheel installs both.
wsgi_app = "wsgi:app"
pythonpath = str(Path(__file__).parent)

# Behind the container's port mapping or the reverse proxy; `voucherpool start` binds to loopback.
bind = f"0.0.0.0:{settings.port}"

# Use one worker per core, because Python computes in one thread at a time; the other threads wait
# for PostgreSQL, each with its own connection. 4 to 16 threads measure the same within the noise
# (bench/README.md). sync workers would close each connection after its request, and psycopg2
# blocks asynchronous ones.
worker_class = "voucherpool.http.server.Worker"
workers = settings.workers
threads = settings.threads

# Create the application once, before the fork: a wrong setting then stops the start with one
# message instead of crashing workers again and again, and the workers share its memory. No
# connection is opened before the fork.
preload_app = True

# Replace a worker whose main loop is stuck. Threads that wait for PostgreSQL do not count; its own
# timeouts end them.
timeout = 30

# Seconds for requests to finish after a stop signal.
graceful_timeout = 10

# Keep idle connections open longer than the proxy does (15 s in deploy/nginx.conf), so that no POST
# arrives on a connection that is just closing.
keepalive = 20

# The heartbeat file must not lie on a disk that may stall (gunicorn's FAQ, "blocking os.fchmod").
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108

# All instances of a user share one socket path, so a second one would take over the first's.
control_socket_disable = True


class Logger(glogging.Logger):
    """Writes gunicorn's messages as one JSON object per line, like the service's."""

    def setup(self, cfg: Any) -> None:
        """Configure all logging of the process, at the start and at each reload."""
        super().setup(cfg)
        logging.config.dictConfig(logs.settings(settings.log))


logger_class = Logger

# The service logs its requests; gunicorn's access log would show e-mails in queries.
accesslog = None


def on_starting(server: Any) -> None:
    """Refuse to start on a PostgreSQL that is unusable or may lose data."""
    for warning in misspelt(os.environ):
        server.log.warning(warning)
    try:
        durability.require(settings.for_flask())
    except CannotStart as error:
        sys.exit(f"Error: {error}")


def post_fork(server: Any, worker: Any) -> None:
    """Set the metric of the worker's threads."""
    metrics.threads.set(settings.threads)


def watch_database() -> None:
    """Log why the database is not ready, in one worker process: if it ends, another takes over."""
    with open(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"], "watch.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        readiness.watch(settings.for_flask())


def post_worker_init(worker: Any) -> None:
    """Watch the database, and end the worker at once with its master.

    Otherwise it would keep the port from the next master. No acknowledged write is lost.
    """
    Thread(target=watch_database, name="readiness", daemon=True).start()
    # Not in post_fork: the change of user after it would cancel this.
    end_with(worker.ppid, signal.SIGKILL)


def child_exit(server: Any, worker: Any) -> None:
    """Remove an ended worker's live gauges; its counters stay."""
    multiprocess.mark_process_dead(worker.pid)
