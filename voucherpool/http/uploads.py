"""Takes a request's body as a file: to disk, not to memory."""

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
    """Give the view the body's `path`, of a file that is gone when the view returns.

    It stands above @guarded, so that what runs a second time finds the file again. The file's
    digest stands for the body where a request is told from others.

    Raises UnsupportedMediaType, BodyTooLarge and MalformedBody.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def run(*args: object, **kwargs: object) -> Response:
            charset = request.mimetype_params.get("charset", "utf-8").lower()
            if request.mimetype != media_type or charset != "utf-8" or request.content_encoding:
                raise UnsupportedMediaType(f"Send it as {media_type} in UTF-8, not encoded.")
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
