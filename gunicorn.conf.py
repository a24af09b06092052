"""gunicorn's settings; WEB_CONCURRENCY, VOUCHERPOOL_THREADS and PORT change what they name."""

import os
import sys

from voucherpool.config import Config, ConfigurationError

try:
    settings = Config.from_environment(os.environ)
except ConfigurationError as error:
    sys.exit(f"Error: {error.message}")

# Behind the container's port mapping or the reverse proxy; `voucherpool start` binds to loopback.
bind = f"0.0.0.0:{settings.port}"

# Threads wait for PostgreSQL while others compute; each worker's pool has a connection for each.
worker_class = "gthread"
workers = settings.workers
threads = settings.threads

# The application is built once, before the fork: a wrong setting stops the start with one message
# instead of a worker that dies again and again, and the workers share its memory. No connection is
# opened before the fork.
preload_app = True

# A worker that is stuck is replaced; longer than any statement may take, shorter than the proxy
# in front should wait.
timeout = 30

# What is in flight may finish when the server is told to stop.
graceful_timeout = 10

# Idle connections of the proxy stay open this long, in seconds: longer than nginx's default reuse
# within a burst, shorter than its keepalive_timeout of 60.
keepalive = 20

# The heartbeat file must not lie on a disk that may stall (gunicorn's FAQ, "blocking os.fchmod").
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108

# One socket path for all instances of a user would let a second one take over the first's.
control_socket_disable = True
