"""Counts a client's statements and round trips on its way to PostgreSQL.

The protocol: https://www.postgresql.org/docs/current/protocol-message-formats.html.
"""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Thread

every_statement = {b"C", b"I"}  # CommandComplete, EmptyQueryResponse
every_round_trip = b"Z"  # ReadyForQuery: what each Query and each Sync waits for


class Answers:
    """The number of PostgreSQL's answers on all connections, and of the statements answered."""

    def __init__(self) -> None:
        self.statements = self.round_trips = 0

    def read(self) -> "Stream":
        """Return a reader of one connection's answers."""
        return Stream(self)


class Stream:
    """Reads one connection's messages, however the bytes are split."""

    def __init__(self, answers: Answers) -> None:
        self._answers, self._rest = answers, b""

    def feed(self, data: bytes) -> None:
        """Count the messages that are complete."""
        self._rest += data
        while len(self._rest) >= 5:
            kind, end = self._rest[:1], 1 + int.from_bytes(self._rest[1:5])
            if len(self._rest) < end:
                return
            self._answers.statements += kind in every_statement
            self._answers.round_trips += kind == every_round_trip
            self._rest = self._rest[end:]


@contextmanager
def tapped(target: Path, path: Path) -> Iterator[Answers]:
    """Listen on a Unix socket, forward to PostgreSQL's socket, and count its answers."""
    answers = Answers()
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        Thread(target=_accept, args=(listener, target, answers), daemon=True).start()
        try:
            yield answers
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, target: Path, answers: Answers) -> None:
    with suppress(OSError):  # the listener is closed
        while True:
            client, _ = listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(target))
            for way in ((client, server, None), (server, client, answers.read())):
                Thread(target=_forward, args=way, daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket, stream: Stream | None) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            if stream is not None:
                stream.feed(data)
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    source.close()
