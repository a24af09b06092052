"""gunicorn's worker, with threads of its own for probes.

While PostgreSQL does not answer, all other threads may wait for it. /livez and /readyz then still
answer, so that no orchestrator restarts a process that is well.
"""

import socket
from concurrent.futures import Future, ThreadPoolExecutor

from gunicorn.workers import gthread

probes = (b"GET /livez", b"GET /readyz", b"HEAD /livez", b"HEAD /readyz")
longest = max(map(len, probes))


class Worker(gthread.ThreadWorker):
    """A worker of threads whose probes do not queue behind other requests."""

    def init_process(self) -> None:
        """Start the threads, and serve."""
        self._probe_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="probe")
        super().init_process()

    def enqueue_req(self, conn: gthread.TConn) -> None:
        """Let a thread answer the next request of a connection, once its first bytes are there."""
        try:
            first = conn.sock.recv(longest, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self.alive:
                self._wait_for_bytes(conn)
                return
            first = b""
        except OSError:
            first = b""  # the thread finds out
        threads = self._probe_threads if first.startswith(probes) else self.tpool
        answered = threads.submit(self.handle, conn)
        answered.add_done_callback(
            lambda done: self.method_queue.defer(self.finish_request, conn, done)
        )

    def _wait_for_bytes(self, conn: gthread.TConn) -> None:
        """Let the main loop wait for a connection's first bytes, which costs no thread."""
        nothing_yet: Future[object] = Future()
        nothing_yet.set_result(gthread._DEFER)
        self.finish_request(conn, nothing_yet)
