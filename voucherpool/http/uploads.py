"""Receives a request's body as a file on disk, not in memory."""

import hashlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from flask import Response, g, request

from voucherpool.errors import UnsupportedMediaType

View = Callable[..., Response]

most_mebibytes = 256
chunk_bytes = 64 * 1024


def uploaded(media_type: str) -> Callable[[View], View]:
    """Pass the view the `path` of a file with the body, deleted when the view returns.

    Put it above @guarded, so that a retry finds the file again. Idempotency uses the file's digest.

    Raises UnsupportedMediaType, BodyTooLarge and MalformedBody.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def run(*args: object, **kwargs: object) -> Response:
            charset = request.mimetype_params.get("charset", "utf-8").lower()
            if request.mimetype != media_type or charset != "utf-8" or request.content_encoding:
                raise UnsupportedMediaType(
                    f"Send the file as {media_type} in UTF-8, without a Content-Encoding."
                )
            with NamedTemporaryFile() as file:
                g.upload_digest = _receive(file)
                return view(*args, path=Path(file.name), **kwargs)

        return run

    return decorate


def _receive(file: IO[bytes]) -> str:
    """Write the body to the file and return its digest."""
    request.max_content_length = most_mebibytes * 1024 * 1024
    digest = hashlib.sha256()
    while chunk := request.stream.read(chunk_bytes):
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    return digest.hexdigest()
