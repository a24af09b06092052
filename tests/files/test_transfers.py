"""Files between real processes: what a connection, a race and a repeat do to them."""

import re
import socket
from contextlib import closing
from http.client import HTTPConnection

import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from tests.builders import in_days
from tests.patience import most_seconds
from voucherpool.database.model import db
from voucherpool.database.transactions import current_transaction, long_transaction
from voucherpool.files import importing, incoming, layout

header = "code,expires_at\n"
rows = 20_000


def send(server, body, **options):
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=most_seconds)) as connection:
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "text/csv"}
        connection.request("POST", "/offers/1/imports", body, headers, **options)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def offer(client):
    return client.post("/offers", json={"name": "KOI", "discount": 22.1}).json["id"]


def lines(prefix, count):
    return "".join(f"{prefix}{number:06},{in_days(1)}\n" for number in range(count))


def test_a_file_may_come_in_chunks(server, offer):
    chunks = [header.encode(), *[lines(f"{turn}X", 1000).encode() for turn in range(5)]]
    imported = b'{"imported":5000,"skipped":0,"skipped_lines":[],"customers_created":0}\n'
    assert send(server, iter(chunks), encode_chunked=True) == (201, imported)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_file_that_breaks_off_leaves_nothing(server, offer, sql, framing, whole):
    text = header + lines("A", 10)
    text = text.ljust(1000, "\n") if whole else text
    text = text if "Length" in framing else f"{len(text):x}\r\n{text}\r\n" + "0\r\n\r\n" * whole
    head = "POST /offers/1/imports HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
    head += f"Authorization: Bearer {server.key}\r\n{framing}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall((head + text).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
    assert answer.startswith(b"HTTP/1.1 201" if whole else b"HTTP/1.1 400")
    assert sql("SELECT count(*) FROM vouchers") == [(10 * whole,)]


def test_of_files_with_a_code_in_common_one_is_imported_and_the_others_are_told(
    server, offer, gate, sql
):
    text = header + lines("A", 500)
    answers = gate.race(
        lambda number: send(server, text + f"B00{number},{in_days(1)}\n"),
        "LOCK TABLE vouchers IN SHARE MODE",
    )
    assert sorted(status for status, _ in answers) == [201] + [422] * 9
    refused = [body for status, body in answers if status == 422]
    assert all(b'"line 2":["code: A voucher with this code exists."]' in body for body in refused)
    assert sql("SELECT count(*) FROM vouchers") == [(501,)]


def test_a_client_that_reads_slowly_keeps_no_connection_to_the_database(server, offer, sql):
    assert send(server, header + lines("A", rows))[0] == 201
    busy = """SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'"""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(
            b"GET /offers/1/codes HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: Bearer {server.key}\r\n\r\n".encode()
        )
        assert connection.recv(8).startswith(b"HTTP/1.1")
        assert sql(busy) == [(0,)]


def test_nothing_is_parsed_while_a_transaction_is_open(app, client, offer, monkeypatch, tmp_path):
    seen, real = [], layout.text_of

    def text_of(cell):
        seen.append(current_transaction())
        return real(cell)

    monkeypatch.setattr(layout, "text_of", text_of)
    keyed = {"content_type": "text/csv", "headers": {"Idempotency-Key": "k"}}
    text = header + lines("A", 6000)
    assert client.post("/offers/1/imports", data=text, **keyed).json["imported"] == 6000
    file = tmp_path / "codes.csv"
    file.write_text(header + lines("B", 6000))
    command = ["vouchers", "import", str(file), "--offer", "KOI"]
    assert app.test_cli_runner().invoke(args=command).stdout == "Imported 6000 vouchers.\n"
    assert seen == [None] * 6000 * 2 * 2


def rows_read_for(twins):
    """Return how many rows the look for wrong lines passes on, if all codes are equal."""
    with long_transaction():
        connection = db.session.connection()
        incoming.rows.create(connection)
        connection.exec_driver_sql(
            "INSERT INTO incoming (line, code_key, expires_at) SELECT n, 'TWIN', now() + '1 day'"
            f" FROM generate_series(1, {twins}) AS n"
        )
        connection.exec_driver_sql("ANALYZE incoming")
        wrong = incoming.wrong.compile(db.engine)
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE) {wrong}", wrong.params).scalars()
        steps = re.findall(r"actual time=\S+ rows=(\S+) loops=(\d+)", "\n".join(plan))
    db.session.remove()
    return sum(float(rows) * int(loops) for rows, loops in steps)


@pytest.mark.one_machine("reads the plan of one PostgreSQL")
def test_the_look_for_wrong_lines_grows_with_their_number_and_no_faster(app, make):
    make.voucher(code="TWIN")
    with app.app_context():
        few, many = rows_read_for(1000), rows_read_for(8000)
    assert few >= 1000
    assert many < 9 * few


def test_what_the_database_undid_is_imported_from_the_same_file(client, offer, monkeypatch, sql):
    real, calls = importing.counts.count_issued, []

    def undone_once(*given, **counted):
        calls.append(given)
        if len(calls) == 1:
            raise OperationalError("", {}, psycopg2.errors.DeadlockDetected())
        return real(*given, **counted)

    monkeypatch.setattr(importing.counts, "count_issued", undone_once)
    answer = client.post("/offers/1/imports", data=header + lines("A", 3), content_type="text/csv")
    assert (answer.json["imported"], len(calls)) == (3, 2)
    assert sql("SELECT count(*) FROM vouchers") == [(3,)]
