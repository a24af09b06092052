"""Bodies that come too long, badly framed or cut off, and the connection after them."""

import io
import json
import re
import socket
from contextlib import suppress

import pytest

from tests.patience import most_seconds

mebibyte = 2**20
chunked = "Transfer-Encoding: chunked"
end = b"0\r\n\r\n"
livez = b"GET /livez HTTP/1.1\r\nHost: tests\r\nConnection: close\r\n\r\n"
offer = json.dumps({"name": "KOI", "discount": 5}).encode()
csv_file = b"code,email,expires_at\nSUMMER-26,,2099-12-31T23:59:59Z\n"
bodies = {"/offers": ("application/json", offer), "/offers/1/imports": ("text/csv", csv_file)}


def chunk(content):
    return b"%x\r\n%s\r\n" % (len(content), content)


def padded(text, length):
    return text + b" " * (length - len(text))


@pytest.fixture
def send(server):
    """Return a function that posts raw bytes and returns the answers on that connection.

    It then ends its half of the connection, so that what is not complete by then is cut off.
    """

    def run(path, framing, body):
        head = (
            f"POST {path} HTTP/1.1\r\nHost: tests\r\nAuthorization: Bearer {server.key}\r\n"
            f"Content-Type: {bodies[path][0]}\r\n{framing}\r\n\r\n"
        )
        received = b""
        with socket.create_connection(
            ("127.0.0.1", server.port), timeout=most_seconds
        ) as connection:
            connection.sendall(head.encode() + body)
            with suppress(OSError):  # a server that refuses may have hung up
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        answers = re.split(rb"(?=HTTP/1\.1 \d{3} )", received)[1:]
        return [(int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]) for answer in answers]

    return run


@pytest.fixture
def problem(send, make, sql):
    """Return a function that sends what must be refused, and returns what the answer says.

    It sees to it that there is one answer and that nothing is written.
    """
    make.voucher(offer="CHRISTMAS")

    def count():
        return sql("SELECT (SELECT count(*) FROM offers), (SELECT count(*) FROM vouchers)")

    def run(*request):
        before = count()
        [(status, body)] = send(*request)
        assert count() == before
        answer = json.loads(body)
        assert answer["status"] == status
        return answer["code"], answer["detail"]

    return run


def test_a_chunked_body_may_have_1_mebibyte_and_no_byte_more(send, sql):
    most = padded(offer, mebibyte)
    [(status, _)] = send("/offers", chunked, chunk(most) + end)
    assert status == 201
    sql("TRUNCATE offers CASCADE")
    for more in (b" ", b"rubbish " * 2048):
        [(status, body)] = send("/offers", chunked, chunk(most) + chunk(more) + end)
        assert (status, json.loads(body)["code"]) == (413, "body_too_large")
        assert json.loads(body)["detail"] == "The body may have at most 1 MiB."
    assert sql("SELECT count(*) FROM offers") == [(0,)]


badly_framed = {
    "a size that is no number": b"zz\r\nabc\r\n" + end,
    "a negative size": b"-1\r\nabc\r\n" + end,
    "a chunk longer than its size": b"2\r\nabc\r\n" + end,
    "an extension that is none": b"2;=\r\nab\r\n" + end,
    "a trailer that is none": b"0\r\nno trailer\r\n\r\n",
    "no size for 9 000 bytes": b"1" * 9000,
}


@pytest.mark.parametrize("path", bodies)
@pytest.mark.parametrize("framing", badly_framed)
def test_badly_framed_chunks_are_400_and_end_the_connection(problem, path, framing):
    body = chunk(bodies[path][1]) + badly_framed[framing]
    code, detail = problem(path, chunked, body + livez)
    assert code == "malformed_body"
    assert "RFC 9112, section 7.1" in detail


@pytest.mark.parametrize("path", bodies)
def test_a_body_shorter_than_its_content_length_is_400(problem, path):
    body = bodies[path][1]
    length = len(body)
    code, detail = problem(path, f"Content-Length: {length + 100}", body)
    assert code == "malformed_body"
    assert f"{length} of the {length + 100} bytes" in detail


@pytest.mark.parametrize("path", bodies)
@pytest.mark.parametrize("last", [b"", b"5\r\nab", b"0\r\n"])
def test_a_chunked_body_without_its_last_chunk_is_400(problem, path, last):
    code, detail = problem(path, chunked, chunk(bodies[path][1]) + last)
    assert code == "malformed_body"
    assert "cut off" in detail


def test_after_a_refusal_no_part_of_the_body_passes_for_a_request(send):
    hidden = livez * 30_000  # more than gunicorn reads to the end for the next request
    for framing, body in (
        (f"Content-Length: {len(hidden)}", hidden),
        (chunked, chunk(hidden) + end),
        (chunked, chunk(padded(offer, mebibyte)) + chunk(hidden) + end),
    ):
        assert [status for status, _ in send("/offers", framing, body + livez)] == [413]


def test_after_a_body_a_little_too_long_the_next_request_is_answered(send):
    body = chunk(padded(offer, mebibyte)) + chunk(livez) + end
    assert [status for status, _ in send("/offers", chunked, body + livez)] == [413, 200]


def test_a_chunked_file_may_have_as_much_as_is_allowed_and_no_byte_more(client, make, monkeypatch):
    monkeypatch.setattr("voucherpool.http.files.uploads.most_mebibytes", 1)
    make.voucher(offer="CHRISTMAS")

    def send(body):
        return client.post(
            "/offers/1/imports",
            input_stream=io.BytesIO(body),
            content_type="text/csv",
            environ_overrides={"wsgi.input_terminated": True},  # as gunicorn says of chunks
        )

    lines = [b"WINTER-%05d,,2099-12-31T23:59:59Z\n" % number for number in range(40_000)]
    room = (mebibyte - len(csv_file)) // len(lines[0])
    most = (csv_file + b"".join(lines[:room])).ljust(mebibyte, b"\n")
    assert send(most).json["imported"] == 1 + room
    answer = send(most + b"\n")
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")
    assert answer.json["detail"] == "The body may have at most 1 MiB."
