"""Sends one request to a webhook, and says in a short word what became of it."""

import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

from voucherpool.webhooks.delivery.addresses import (
    AddressRefused,
    Endpoint,
    NameUnknown,
    Policy,
    endpoint_of,
    ports,
)

seconds_in_all = 10.0
most_of_answer = 64 * 1024  # bytes of its head and body
most_of_body = 1024
about = {
    "Content-Type": "application/json",
    "User-Agent": "voucherpool",
    "Connection": "close",
}

words = {
    AddressRefused: "address_refused",
    NameUnknown: "name_unknown",
    TimeoutError: "timeout",
    ssl.SSLError: "tls_failed",
    ConnectionRefusedError: "connection_refused",
    OSError: "connection_failed",
    HTTPException: "answer_malformed",
}
"""The word for each failure; of several that fit, the first."""


class Outcome(NamedTuple):
    """The status of the answer, if there was one, and a word for what went wrong, if it did."""

    status: int | None
    error: str | None


def post(policy: Policy, url: str, headers: Mapping[str, str], body: str) -> Outcome:
    """Post a body to a URL, in 10 seconds in all, and follow no redirect.

    The host is resolved once, and the connection goes to an address that was checked.
    """
    stream = None
    try:
        endpoint, until = endpoint_of(url), time.monotonic() + seconds_in_all
        stream = _connected(policy, endpoint, until)
        return _outcome(_status(stream, endpoint, headers, body))
    except tuple(words) as error:
        word = next(word for kind, word in words.items() if isinstance(error, kind))
        return Outcome(None, word)
    finally:
        if stream is not None:
            stream.hang_up()


def _outcome(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status, None)
    if status == 410:
        return Outcome(status, "gone")
    return Outcome(status, "redirected" if 300 <= status < 400 else "rejected")


class Stream(io.RawIOBase):
    """A connected socket whose operations end together at a moment of time.monotonic().

    The timeout of a socket alone would begin again with each byte. It has what http.client asks of
    a socket.
    """

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket = connected
        self._until = until
        self._left = most_of_answer

    def sendall(self, content: bytes) -> None:
        """Send all of the content. Raises TimeoutError."""
        self._socket.settimeout(left(self._until))
        self._socket.sendall(content)

    def makefile(self, _: str) -> io.BufferedReader:
        """Return a file that reads from the socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive into the buffer and return how many bytes.

        Raises TimeoutError, and HTTPException after the most that an answer may have.
        """
        if not self._left:
            raise HTTPException
        self._socket.settimeout(left(self._until))
        count = self._socket.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        """Do nothing: http.client closes its socket before it has read the answer."""

    def hang_up(self) -> None:
        """Close the socket."""
        self._socket.close()


def left(until: float) -> float:
    """Return the seconds until a moment of time.monotonic(). Raises TimeoutError after it."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _connected(policy: Policy, endpoint: Endpoint, until: float) -> Stream:
    addresses = policy.addresses_of(endpoint.host, endpoint.port, left(until))
    raw = _first_that_answers([(address, endpoint.port) for address in addresses], until)
    if endpoint.scheme == "http":
        return Stream(raw, until)
    raw.settimeout(left(until))  # of the whole handshake
    try:
        return Stream(trust().wrap_socket(raw, server_hostname=endpoint.host), until)
    except OSError:
        raw.close()
        raise


def _first_that_answers(addresses: list[tuple[str, int]], until: float) -> socket.socket:
    for place, address in enumerate(addresses):
        to_try = len(addresses) - place
        try:
            return socket.create_connection(address, timeout=left(until) / to_try)
        except OSError:
            if to_try == 1:
                raise
    raise NameUnknown


@cache
def trust() -> ssl.SSLContext:
    """Return the system's certificate authorities; a certificate must name the host."""
    return ssl.create_default_context()


def _status(stream: Stream, endpoint: Endpoint, headers: Mapping[str, str], body: str) -> int:
    connection = HTTPConnection(endpoint.host, endpoint.port)
    connection.default_port = ports[endpoint.scheme]  # which the Host header leaves out
    connection.sock = stream
    connection.request("POST", endpoint.target, body.encode(), {**about, **headers})
    answer = connection.getresponse()
    # A small body is taken off the connection, so that its sender sees no reset. http.client raises
    # ValueError for a chunk of negative size.
    with suppress(OSError, HTTPException, ValueError):
        answer.read(most_of_body)
    return answer.status
