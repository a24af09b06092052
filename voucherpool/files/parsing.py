"""Parses a file of vouchers into pages on disk, before the transaction that imports them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

from voucherpool.files import encodings, reading
from voucherpool.files.cells import Readers
from voucherpool.files.layout import Row
from voucherpool.files.reading import Refusals
from voucherpool.input.emails import email_key
from voucherpool.input.errors import InvalidInput
from voucherpool.vouchers import codes

page_size = 5000
columns = ("line", "code_key", "code", "email", "email_key", *Row._fields[3:])

Progress = Callable[[int], object]


def ignore(_: int) -> None:
    """Show no progress."""


Page = Mapping[str, str]
"""The values of some rows: each column as one comma-separated text, which PostgreSQL reads fast.

No value has a comma; missing ones are empty.
"""


class Parsed(NamedTuple):
    """The good rows of a file, a page a line, and its wrong lines."""

    file: IO[bytes]
    refusals: Refusals

    def size(self) -> int:
        """Return the number of bytes of all pages."""
        return self.file.seek(0, SEEK_END)

    def pages(self, progress: Progress = ignore) -> Iterator[Page]:
        """Yield the pages from the first on; pass the bytes of each that is done to `progress`."""
        self.file.seek(0)
        for page in self.file:
            yield json.loads(page)
            progress(len(page))


@contextmanager
def parsed(
    path: Path, readers: Readers, progress: Progress = ignore, *, encoding: str = "utf-8"
) -> Iterator[Parsed]:
    """Parse a file, and keep its rows while the context lasts.

    It passes the number of bytes read to `progress`. Raises InvalidInput if the whole file is in
    another encoding.
    """
    refusals = Refusals()
    with ExitStack() as open_files:
        try:
            source = open_files.enter_context(encodings.in_utf_8(path, encoding))
        except UnicodeError as error:
            raise InvalidInput({"file": [encodings.mismatch]}) from error
        file = open_files.enter_context(TemporaryFile())
        rows, at = reading.rows(source, readers, refusals), 0
        while page := list(islice(rows, page_size)):
            file.write(json.dumps(_lists(page)).encode() + b"\n")
            progress(source.tell() - at)
            at = source.tell()
        yield Parsed(file, refusals)


def _lists(rows: Sequence[Row]) -> Page:
    lines, spelt, emails, *others = zip(*rows, strict=True)
    keys = map(codes.normal_form, spelt)
    people = (email and email_key(email) for email in emails)
    values = zip(columns, (lines, keys, spelt, emails, people, *others), strict=True)
    return {
        name: ",".join("" if value is None else str(value) for value in column)
        for name, column in values
    }
