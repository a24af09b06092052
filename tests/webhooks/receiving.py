"""A receiver of webhooks: a real HTTP server on loopback that notes what it gets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Event, Thread
from typing import Any

import standardwebhooks

from tests.patience import most_seconds


@dataclass
class Request:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Return the id of the event."""
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """Return the message; raise standardwebhooks.WebhookVerificationError if it is forged."""
        return standardwebhooks.Webhook(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    """Keeps what it receives, and answers with the next of its statuses; the last one repeats.

    Each answer has its headers and content.

    While `hangs`, it receives and does not answer; it waits for `released`.
    """

    port: int
    statuses: list[int] = field(default_factory=lambda: [200])
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b"x" * 4096
    received: "Queue[Request]" = field(default_factory=Queue)
    hangs: bool = False
    released: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        """Return the address of the endpoint."""
        return f"http://127.0.0.1:{self.port}/hook?token=t"

    def next(self) -> Request:
        """Return the next request; fail if none comes."""
        return self.received.get(timeout=most_seconds)

    def all(self) -> list[Request]:
        """Return the requests received since the last call."""
        return [self.received.get() for _ in range(self.received.qsize())]


@contextmanager
def receiving(wrap: Any = None) -> Iterator[Receiver]:
    """Run a receiver; `wrap` makes its socket one of TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.put(Request(self.path, dict(self.headers.items()), body))
            if receiver.hangs:
                receiver.released.wait()
                return
            status = receiver.statuses.pop(0) if receiver.statuses[1:] else receiver.statuses[0]
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if wrap is not None:
        server.socket = wrap(server.socket)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    receiver = Receiver(server.server_port)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
