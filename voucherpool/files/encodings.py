"""Opens a file in UTF-8, whatever its encoding is."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

encodings = (
    *("utf-8", "utf-16"),
    *("windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254"),
)
"""The encodings of spreadsheets and shop systems. Nobody can tell the last five apart by a file."""

mismatch = "Must be in the encoding that you name, or that its byte order mark says."
chunk = 64 * 1024  # characters


@contextmanager
def in_utf_8(path: Path, encoding: str) -> Iterator[IO[bytes]]:
    """Open a file while the context lasts; another encoding than UTF-8 as a copy in UTF-8.

    Raises UnicodeError if the file is not in the encoding.
    """
    with open(path, "rb") as source:
        if encoding == "utf-8" and not _has_mark_of_utf_16(source):
            yield source
            return
        with TemporaryFile() as copy:
            text = TextIOWrapper(source, "utf-16" if encoding == "utf-8" else encoding, newline="")
            while some := text.read(chunk):
                copy.write(some.encode())
            copy.seek(0)
            yield copy


def _has_mark_of_utf_16(file: IO[bytes]) -> bool:
    begin = file.read(2)
    file.seek(0)
    return begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
