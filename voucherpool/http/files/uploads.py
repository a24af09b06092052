"""Receives a request's body as a file on disk, not in memory."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from flask import g, request

from voucherpool.http.errors import UnsupportedMediaType

most_mebibytes = 256
chunk_bytes = 64 * 1024
charsets = ("utf-8", "utf8", "us-ascii")
"""The names of UTF-8 and of its part that programs send."""


@contextmanager
def received(media_type: str) -> Iterator[Path]:
    """Give the path of a file with the request's body, and delete it at the end.

    Its digest stands for the body under an Idempotency-Key.

    Raises UnsupportedMediaType, BodyTooLarge and MalformedBody.
    """
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != media_type or charset not in charsets or request.content_encoding:
        raise UnsupportedMediaType(
            f"Send the file as {media_type}, in UTF-8 or with its encoding in the query, such as"
            " ?encoding=windows-1252, and without a Content-Encoding."
        )
    with NamedTemporaryFile() as file:
        g.upload_digest = _receive(file)
        yield Path(file.name)


def _receive(file: IO[bytes]) -> str:
    """Write the body to the file and return its digest."""
    request.max_content_length = most_mebibytes * 1024 * 1024
    digest = hashlib.sha256()
    while chunk := request.stream.read(chunk_bytes):
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return digest.hexdigest()
