"""No text of 1 MiB, however nasty, keeps a parser busy."""

import importlib
import io
import pkgutil
from contextlib import suppress

import pytest
from marshmallow import Schema, ValidationError

import voucherpool
from tests.stopwatch import is_busy
from voucherpool.batches.schemas import Audience
from voucherpool.files import cells, reading
from voucherpool.input import strict_json
from voucherpool.input.errors import MalformedJson
from voucherpool.vouchers import codes

mebibyte = 2**20
longest_header = 8190  # gunicorn takes no longer line of a head
most_passes = 10  # over 1 MiB


def full(text):
    return text * (mebibyte // len(text))


def items(text, count=mebibyte):
    """Return a JSON array of so many items, or of as many as 1 MiB holds."""
    return b"[" + b",".join([text] * min(count, mebibyte // (len(text) + 1) - 2)) + b"]"


deep_array, deep_object = b"[" * 18 + b"]" * 18, b'{"":' * 18 + b"0" + b"}" * 18
values = (b"0", b"-0.0", b"1e999", b"NaN", b"[]", b"{}", b'""', b'{"":0}', deep_array, deep_object)
texts = (b"a", b"\\u0000", b"\\ud800", b"\\\\", "é".encode(), b"a" * 30 + b'","')
bodies = [
    *(full(one) for one in (b"[", b'{"":', b"9", b"-", b" ", b"\n", b'"', b"\\", b"\xff", b",")),
    *(start + full(b"9") for start in (b"0.", b"1e", b"-1")),
    *(b'"' + full(one) + b'"' for one in texts),
    *(b'{"' + full(one) + b'":0}' for one in texts),
    *(items(one) for one in values),
    # As many as are let in: each comma and each bracket counts.
    *(
        items(one, strict_json.most_values // (1 + one.count(b"[") + one.count(b"{")))
        for one in (*values, b"9" * 30, b"0." + b"9" * 28)
    ),
    b"{" + b",".join(b'"%x":0' % name for name in range(strict_json.most_values - 1)) + b"}",
]


@pytest.mark.parametrize("body", bodies, ids=lambda body: ascii(body[:20]))
def test_a_body_keeps_the_json_parser_busy_no_longer_than_a_few_passes_over_1_mib(body):
    def parse():
        with suppress(MalformedJson):
            strict_json.parse(body)

    assert not is_busy(parse, most_passes)


def fields():
    """Yield a field of each kind that the schemas have."""
    for module in pkgutil.walk_packages(voucherpool.__path__, "voucherpool."):
        if module.name != "voucherpool.__main__":
            importlib.import_module(module.name)
    schemas, kinds = [Schema], {}
    for base in schemas:
        schemas += base.__subclasses__()
        kinds |= {(type(it), getattr(it, "longest", 0)): it for it in base().fields.values()}
    return kinds.values()


@pytest.mark.parametrize("field", fields(), ids=lambda field: type(field).__name__)
def test_a_text_keeps_no_field_busy(field):
    for part in ("a", "1", " ", "-", "#", "a@", "a.", "- ", "MA", "é", "\u3000", "\0", "a@a."):
        text = full(part)

        def load(text=text):
            with suppress(ValidationError):
                field.deserialize(text)

        assert not is_busy(load, most_passes), part


def test_a_list_of_wrong_e_mails_is_read_no_further_than_it_is_named():
    def load():
        with pytest.raises(ValidationError) as refused:
            Audience().deserialize(["a"] * strict_json.most_values)
        assert list(refused.value.messages) == list(range(100))

    assert not is_busy(load, most_passes)


# A row of its own takes its own time, so none ends here.
def test_a_row_keeps_no_reader_of_files_busy():
    readers = cells.readers(None, "UTC")
    for part in (b"a", b'"', b",", b"'", b"code,", b'""', b"\xff", b" ", b"=", b"\0"):
        for start in (b"", b'code\n"', b"code,email\n", b'code,code,"'):
            file = io.BytesIO(start + full(part))

            def read(file=file):
                file.seek(0)
                list(reading.rows(file, readers, reading.Refusals()))

            assert not is_busy(read, most_passes), (start, part)


def test_the_longest_spelling_of_a_code_takes_no_time_to_read():
    for part in ("a", "O", "-", "é", "\u00a0"):
        assert not is_busy(lambda part=part: codes.normal_form(part * 100), passes=0.1)


def test_a_header_keeps_no_request_busy(client):
    names = ("Accept", "Authorization", "Content-Type", "Cookie", "Forwarded", "Idempotency-Key")
    for name in (*names, "If-None-Match", "Origin", "Range", "X-Request-Id"):
        for part in (
            "a",
            '"',
            ";",
            ",",
            "a=",
            'a="',
            "; a=",
            ";a*0=",
            "\\",
            "W/",
            "/",
            "bytes=0-,",
        ):
            header = {name: part * (longest_header // len(part))}

            def post(header=header):
                client.post("/vouchers/lookup", data=b"{}", headers=header)

            assert not is_busy(post, most_passes), (name, part)
