"""The contents of the logs, and what must not appear in them."""

import io
import json
import logging
import re
import socket
import tempfile

import pytest
from sqlalchemy import text

from tests.builders import ana
from tests.patience import most_seconds
from tests.server import Server, run_gunicorn
from tests.stopwatch import is_busy
from voucherpool.database.model import db
from voucherpool.observability import logs


@pytest.fixture
def write():
    """Return a function that logs to a file, and the lines that stand there."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Formatter())
    log = logging.Logger("tests", logging.INFO)
    log.addHandler(handler)

    def run(*args, **kwargs):
        log.info(*args, **kwargs)
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return run


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\u2028b", '"},{"level":"ERROR"'])
def test_a_record_is_one_line_whatever_it_says(write, text):
    [line] = write("%s", text)
    assert line["message"] == text


def test_e_mails_queries_and_api_keys_are_left_out(write):
    [line] = write("GET /vouchers?email=a failed for ana@example.org, Ana%40example.org, vp_abc12")
    assert line["message"] == "GET /vouchers?… failed for …, …, …"


def test_a_long_message_is_cut_and_shows_no_half_of_an_e_mail_at_the_cut(write):
    [line] = write("a " * 990 + "ana." * 10 + "x@example.org and so on")
    assert line["message"] == "a " * 990 + "…"


def test_a_long_message_takes_no_time(write):
    for said in ("A" * 2**20, "a@," * 2**18, "vp_ " * 2**18, "%" * 2**20):
        assert not is_busy(lambda said=said: write("%s", said))


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


closed = io.StringIO()
closed.close()


@pytest.mark.parametrize("stream", [None, Broken(), closed], ids=["none", "broken", "closed"])
def test_a_request_is_answered_although_its_line_cannot_be_written(client, monkeypatch, stream):
    monkeypatch.setattr("sys.stderr", stream)
    assert client.get("/livez").status_code == 200


def test_gunicorns_own_warnings_come_once_and_carry_no_request_id_of_an_earlier_request(
    database_url, key, monkeypatch
):
    monkeypatch.setenv("VOUCHERPOOL_THREADS", "1")
    monkeypatch.setenv("VOUCHERPOOL_THREAD", "8")
    with (
        tempfile.TemporaryFile() as file,
        run_gunicorn(database_url, workers=1, log=file.fileno()) as port,
    ):
        Server(port, key).send("/livez", None, "GET", X_Request_Id="request-1")
        with socket.create_connection(("127.0.0.1", port), timeout=most_seconds) as connection:
            connection.sendall(b"A" * 3900 + b" /livez HTTP/1.1\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 400")
        file.seek(0)
        lines = [json.loads(line) for line in file.read().splitlines()]
    [named] = [line for line in lines if "request_id" in line]
    assert (named["request_id"], named["route"]) == ("request-1", "/livez")
    assert any("Invalid" in line["message"] for line in lines)
    [misspelt] = [line for line in lines if "VOUCHERPOOL_THREAD is not" in line["message"]]
    assert (misspelt["level"], "VOUCHERPOOL_THREADS?" in misspelt["message"]) == ("WARNING", True)


def test_a_traceback_has_no_messages_but_says_where_and_what(app, write, make):
    make.customer()
    with app.app_context():
        try:
            try:
                db.session.execute(text(f"SELECT '{ana}'::int"))
            except Exception as error:
                raise RuntimeError(f"for {ana}") from error
        except RuntimeError:
            [line] = write("failed", exc_info=True)
    assert ana not in json.dumps(line)
    assert "SQLSTATE 22P02" in line["exc_info"]
    assert line["exc_info"].endswith("RuntimeError")
    assert __file__ in line["exc_info"]


def test_after_all_kinds_of_traffic_the_logs_hold_no_code_no_e_mail_and_no_key(
    storm_port, storm_log, key, make, sql
):
    code, before = make.voucher(), storm_log.stat().st_size
    server = Server(storm_port, key)
    body = {"code": code, "email": ana}
    name = {"X_Request_Id": "request-1"}
    assert server.send("/vouchers/validate", body, **name)[0] == 201
    assert server.send("/vouchers/validate", body)[0] == 409
    assert server.send("/vouchers/validate", body | {"code": "0000"})[0] == 404
    assert server.send("/vouchers/lookup", {"code": code})[0] == 200
    assert server.send(f"/vouchers?email={ana}", {}, "GET")[0] == 200
    assert server.send(f"/{ana}/{code}?{code}", {}, "GET")[0] == 404
    assert server.send("/vouchers", {}, Authorization="Bearer vp_nonsense")[0] == 405
    # A bug: PostgreSQL's message about it names the voucher.
    sql("ALTER TABLE vouchers ADD CONSTRAINT bug CHECK (disabled_at IS NULL)")
    try:
        assert server.send("/vouchers/disable", {"code": code})[0] == 500
    finally:
        sql("ALTER TABLE vouchers DROP CONSTRAINT bug")
    written = storm_log.read_bytes()[before:].decode()
    lines = [json.loads(line) for line in written.splitlines()]
    assert any("SQLSTATE 23514" in line.get("exc_info", "") for line in lines)
    [validated] = [line for line in lines if line.get("request_id") == "request-1"]
    assert (validated["route"], validated["status"]) == ("/vouchers/validate", 201)
    letters = re.sub("[^A-Z0-9]", "", written.upper())
    for secret in (ana, code, key, "nonsense"):
        assert re.sub("[^A-Z0-9]", "", secret.upper()) not in letters


def test_no_table_holds_a_key(sql, client, key, make):
    make.customer()
    client.get(f"/vouchers?email={ana}")
    for table in db.metadata.tables:
        for [row] in sql(f"SELECT t::text FROM {table} t"):
            assert key[3:] not in row
