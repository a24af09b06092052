"""Checks a request's body: whole, framed as HTTP requires, and not too long."""

from collections.abc import Iterator
from functools import cached_property
from typing import IO, cast

import flask
from gunicorn.http.errors import ParseException
from werkzeug.wsgi import get_content_length, get_input_stream

from voucherpool.http.errors import BodyTooLarge, MalformedBody

badly_chunked = (
    "The body's chunks are badly framed or cut off: send each as its size in hexadecimal, CRLF,"
    " that many bytes and CRLF, and one of size 0 at the end (RFC 9112, section 7.1)."
)
chunk_bytes = 64 * 1024
most_bytes = 1024 * 1024


class Request(flask.Request):
    """A request whose body is checked on every way to read it.

    `api_key_id` is the id of its API key, None before authentication and in open mode. `scope` is
    the one that its route needs. `refusal` is the code of the error that answers it.
    """

    api_key_id: int | None = None
    scope: str | None = None
    refusal: str | None = None

    @cached_property
    def stream(self) -> IO[bytes]:
        """Return the body. Raises BodyTooLarge; reading it raises that or MalformedBody."""
        announced = get_content_length(self.environ)
        most = self.max_content_length or most_bytes
        body = Body(get_input_stream(self.environ), announced, most)
        return cast(IO[bytes], body)


def current_request() -> Request:
    """Return the request that this thread answers, not a proxy that looks for it at each use."""
    return cast(Request, flask.request._get_current_object())  # type: ignore[attr-defined]


class Body:
    """The bytes of a body; `announced` is its Content-Length, None for a chunked one."""

    def __init__(self, source: IO[bytes], announced: int | None, most: int) -> None:
        self._source = source
        self._announced = announced
        self._most = most
        self._received = 0
        self._require_size(announced or 0)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes, by default all that are left; none at the end.

        Raises BodyTooLarge and MalformedBody.
        """
        if size < 0:
            return b"".join(self._chunks())
        one_too_many = self._most + 1 - self._received
        try:
            content = self._source.read(min(size, one_too_many))
        except (ParseException, OSError) as error:
            raise self._malformed() from error
        self._received += len(content)
        self._require_size(self._received)
        if not content and self._received < (self._announced or 0):
            raise self._malformed()
        return content

    def _chunks(self) -> Iterator[bytes]:
        while self._received != self._announced and (chunk := self.read(chunk_bytes)):
            yield chunk

    def _require_size(self, size: int) -> None:
        if size > self._most:
            raise BodyTooLarge(f"The body may have at most {self._most // 2**20} MiB.")

    def _malformed(self) -> MalformedBody:
        if self._announced is None:
            return MalformedBody(badly_chunked)
        return MalformedBody(
            f"The body ended after {self._received} of the {self._announced} bytes that its"
            " Content-Length names: send it whole."
        )
