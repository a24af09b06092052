"""Answers with files, which are written as a whole before any of them is sent.

So a slow client blocks no connection to the database, and a failure cannot look like the file's
end. The file is on disk, so its size does not matter.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from tempfile import TemporaryFile
from typing import IO, Any

from flask import Response

from voucherpool.database import csv_files
from voucherpool.database.model import AnySelect

chunk_bytes = 64 * 1024


def csv(name: str, columns: Sequence[str], chosen: AnySelect, *, bom: bool = False) -> Response:
    """Return what the query finds as a file of CSV; call it in a long_transaction()."""
    write = partial(csv_files.write, columns=columns, chosen=chosen, bom=bom)
    return attachment(name, write, csv_files.media_type)


def attachment(name: str, write: Callable[[IO[bytes]], object], media_type: str) -> Response:
    """Return a file of UTF-8 that `write` writes and rewinds."""
    with ExitStack() as undo:
        file = undo.enter_context(TemporaryFile())
        write(file)
        response = Response(
            iter(partial(file.read, chunk_bytes), b""),
            content_type=f"{media_type}; charset=utf-8",
            headers={
                "Content-Disposition": f'attachment; filename="{name}"',
                "Content-Length": str(os.fstat(file.fileno()).st_size),
            },
        )
        response.call_on_close(undo.pop_all().close)
        return response


def documented(columns: Sequence[str]) -> dict[str, Any]:
    """Return the operation's parts of the OpenAPI document for an answer of csv()."""
    schema = {"type": "string", "description": f"Its columns: {', '.join(columns)}."}
    return documented_as(schema, csv_files.media_type)


def documented_as(schema: Mapping[str, Any], media_type: str) -> dict[str, Any]:
    """Return the operation's parts of the OpenAPI document for an attachment()."""
    answer = {
        "description": "OK",
        "headers": {"Content-Disposition": {"schema": {"type": "string"}}},
        "content": {media_type: {"schema": schema}},
    }
    return {"responses": {"200": answer}}
