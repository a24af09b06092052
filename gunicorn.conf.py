"""gunicorn's settings; WEB_CONCURRENCY, VOUCHERPOOL_THREADS and PORT change what they name."""

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
from typing import Any

temporary = Path(tempfile.gettempdir())
prefix = "voucherpool-counts-"


def make_folder() -> str:
    """Make the folder where the workers' counts meet, locked until the last process here ends."""
    folder = Path(tempfile.mkdtemp(prefix=f".{prefix}"))
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_EX)
    # Locked before another start can find it by its name.
    return str(folder.rename(temporary / f"{prefix}{os.getpid()}-{folder.name[-8:]}"))


def remove_unlocked() -> None:
    """Remove the folders of masters that were killed."""
    for folder in temporary.glob(f"{prefix}*"):
        with suppress(OSError), ExitStack() as stack:  # it is in use, or another user's
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


# It stays when this file is read again for a reload (SIGHUP), but is not shared with the gunicorn
# that replaces this one. prometheus_client reads the variable when it is imported.
if f"{prefix}{os.getpid()}-" not in os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = make_folder()
    remove_unlocked()


def remove_counts(master: int = os.getpid()) -> None:
    """Remove the counts, which begin at nought with the next start; also of one that is refused."""
    if os.getpid() == master:  # not a worker, which inherits what is done at the exit
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


atexit.register(remove_counts)

from click import ClickException
from gunicorn import glogging
from prometheus_client import multiprocess

from voucherpool.config import Config, ConfigurationError
from voucherpool.database import durability
from voucherpool.local.processes import end_with
from voucherpool.observability import logs, metrics

try:
    settings = Config.from_environment(os.environ)
except ConfigurationError as error:
    sys.exit(f"Error: {error.message}")

# Behind the container's port mapping or the reverse proxy; `voucherpool start` binds to loopback.
bind = f"0.0.0.0:{settings.port}"

# A worker for each core, for Python computes in one thread at a time; the other threads wait for
# PostgreSQL meanwhile, and each worker's pool has a connection for each. Other shares of 4 to 16
# threads measured the same within the noise (docs/performance.md). sync workers would close each
# connection after its request, and asynchronous ones do not know psycopg2's waits.
worker_class = "gthread"
workers = settings.workers
threads = settings.threads

# The application is built once, before the fork: a wrong setting stops the start with one message
# instead of a worker that dies again and again, and the workers share its memory. No connection is
# opened before the fork.
preload_app = True

# A worker whose main loop is stuck is replaced. A thread that waits for PostgreSQL does not count:
# PostgreSQL's timeouts end that.
timeout = 30

# What is in flight may finish when the server is told to stop.
graceful_timeout = 10

# Idle connections stay open this long, in seconds: longer than the proxy keeps them (15 s in
# docs/nginx.conf), so that no POST meets a connection that is just closed.
keepalive = 20

# The heartbeat file must not lie on a disk that may stall (gunicorn's FAQ, "blocking os.fchmod").
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108

# One socket path for all instances of a user would let a second one take over the first's.
control_socket_disable = True


class Logger(glogging.Logger):
    """Writes gunicorn's own words as one JSON object a line, like the service's."""

    def setup(self, cfg: Any) -> None:
        """Configure all logging of the process, at the start and at each reload."""
        super().setup(cfg)
        logging.config.dictConfig(logs.settings())


logger_class = Logger

# The service logs its requests; gunicorn would write addresses with the e-mails in their queries.
accesslog = None


def on_starting(server: Any) -> None:
    """Refuse to serve from a PostgreSQL that cannot be used or may lose what it acknowledged."""
    try:
        durability.insist(settings.for_flask())
    except ClickException as error:
        sys.exit(f"Error: {error.message}")


def post_fork(server: Any, worker: Any) -> None:
    """Count the threads that the worker has for requests."""
    metrics.threads.set(settings.threads)


def post_worker_init(worker: Any) -> None:
    """Let the worker end at once with its master, for it would keep the port from the next one.

    It loses nothing that it acknowledged.
    """
    # Not in post_fork: a change of user, which comes after it, would undo this.
    end_with(worker.ppid, signal.SIGKILL)


def child_exit(server: Any, worker: Any) -> None:
    """Count a worker that ended no more as alive; what it served stays counted."""
    multiprocess.mark_process_dead(worker.pid)
