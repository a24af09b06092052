"""Bodies and queries that must be refused by name, never with a 500, and write nothing."""

import base64
import json
import socket

import pytest

from tests.builders import ana, in_days
from tests.patience import most_seconds

routes = {
    "generate": (
        "POST",
        "/vouchers/generate",
        {"email": ana, "offer_name": "KOI", "discount": 22.1, "expiry": in_days(1)},
    ),
    "validate": ("POST", "/vouchers/validate", {"code": "0000-0000-0000", "email": ana}),
    "list": ("GET", "/vouchers", {"email": ana}),
}

wrong_for_any_field = [
    "\x00",
    "a\x00b",
    "\ud800",
    "a\u2028b",
    "a\x1bb",
    "a\r\nb: c",
    "",
    " ",
    "x" * 300,
    True,
    None,
    [],
    {},
    ["a"],
    {"a": 1},
]
wrong_for_one_field = {
    "email": [1, "ana", "ana@", "@example.org", "ana@example.org, ben@example.org"],
    "offer_name": [1, 1.5],
    "code": [1, 1.5],
    "discount": [0, -1, 100.01, 101, 22.123, 1e-9, "22,1", "２２", 10**20, False],
    "expiry": [
        1,
        "2027-02-30",
        "2027-04-21T18:25:43",
        "2027-04-21 18:25:43Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "1999-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2027-02-30T00:00:00Z",
        "2027-04-21T24:00:00Z",
        "2027-04-21T18:25:43+99:99",
        "２０２７-04-21T18:25:43Z",
        "infinity",
        "20270421T182543Z",
    ],
}
# Placeholder of a field's value in a text that json.dumps would not write.
wrong_texts = {
    "NaN": "NaN",
    "infinity": "-Infinity",
    "an overflow": "1e999",
    "a long exponent": "1e99999999999999999999",
    "a long negative exponent": "1e-99999999999999999999",
    "a zero with a long exponent": "0e99999999999999999999",
    "a zero beyond PostgreSQL's scale": "0e-16384",
    "5000 digits": "9" * 5000,
    "5000 decimals": "0." + "9" * 5000,
    "a lone surrogate": '"\\udfff"',
    "an escaped NUL": '"\\u0000"',
    "21 levels": "[" * 21 + "]" * 21,
}
wrong_bodies = {
    "no JSON": b"email=ana@example.org",
    "half of it": b'{"email":',
    "an array": b"[]",
    "a text": b'"email"',
    "a number": b"1",
    "null": b"null",
    "no UTF-8": b'{"email":"\xff\xfe"}',
    "UTF-16": '{"email":"a"}'.encode("utf-16"),
    "10 000 levels": b'{"email":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "100 000 objects deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "more than 1 MiB": b'{"email":"' + b"a" * 1024 * 1024 + b'"}',
    "an unknown field": b'{"used_at":null}',
    "a NUL in a name": b'{"em\\u0000ail":1}',
    "nothing": b"",
}


null_is_taken = [("generate", field) for field in ("email", "discount", "expiry")]
"""An unbound voucher, the offer's discount, and no expiry."""
fields = [(route, field) for route, (_, _, body) in routes.items() for field in body]


@pytest.fixture
def send(client, make, sql):
    """Return a function that sends a body, and checks that it is refused and writes nothing."""
    make.voucher()

    def content():
        return sql(
            "SELECT (SELECT array_agg(o::text) FROM offers o),"
            " (SELECT array_agg(v::text) FROM vouchers v),"
            " (SELECT array_agg(c::text) FROM customers c),"
            " (SELECT array_agg(r::text) FROM redemptions r)"
        )

    def run(route, body):
        method, path, _ = routes[route]
        before = content()
        answer = client.open(path, method=method, data=body)
        assert 400 <= answer.status_code < 500
        assert answer.mimetype == "application/problem+json"
        assert content() == before
        return answer

    return run


@pytest.mark.parametrize(("route", "field"), fields)
def test_a_wrong_value_is_refused_by_its_name(send, route, field):
    for value in wrong_for_any_field + wrong_for_one_field[field]:
        if value is None and (route, field) in null_is_taken:
            continue
        answer = send(route, json.dumps(routes[route][2] | {field: value}))
        assert list(answer.json["errors"]) == [field], value


@pytest.mark.parametrize(("route", "field"), fields)
def test_a_value_that_is_not_acceptable_json_is_400_and_named(send, route, field):
    for case, text in wrong_texts.items():
        body = json.dumps(routes[route][2] | {field: "HERE"}).replace('"HERE"', text)
        answer = send(route, body)
        assert (answer.status_code, answer.json["code"]) == (400, "malformed_json"), case
        assert list(answer.json["errors"]) == [field], case


@pytest.mark.parametrize("route", routes)
def test_a_name_given_twice_is_400_and_named(send, route):
    body = json.dumps(routes[route][2])
    for field, value in routes[route][2].items():
        answer = send(route, body[:-1] + f', "{field}": {json.dumps(value)}}}')
        assert answer.status_code == 400
        assert list(answer.json["errors"]) == [field]


@pytest.mark.parametrize("route", routes)
def test_a_wrong_body_is_refused(send, route):
    for body in wrong_bodies.values():
        send(route, body)


@pytest.mark.parametrize("route", routes)
def test_a_missing_field_is_named(send, sql, route):
    sql("TRUNCATE offers CASCADE")  # a new offer needs its discount
    for field in routes[route][2]:
        kept = {name: value for name, value in routes[route][2].items() if name != field}
        answer = send(route, json.dumps(kept))
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field])


wrong_queries = [
    ("email=a%00b@example.org", "email"),
    ("email=ana@example.org&email=ben@example.org", "email"),
    ("email=ana@example.org&limit=0", "limit"),
    ("email=ana@example.org&limit=501", "limit"),
    ("email=ana@example.org&limit=-1", "limit"),
    ("email=ana@example.org&limit=1.5", "limit"),
    ("email=ana@example.org&limit=%EF%BC%91", "limit"),
    ("email=ana@example.org&limit=" + "9" * 5000, "limit"),
    ("email=ana@example.org&cursor=", "cursor"),
    ("email=ana@example.org&cursor=%00", "cursor"),
    ("email=ana@example.org&cursor=%FF", "cursor"),
    ("email=ana@example.org&cursor=MjAyNw", "cursor"),
    ("email=ana@example.org&page=2", "page"),
]


def test_a_wrong_query_is_422_and_named(client, make):
    make.voucher()
    for query, field in wrong_queries:
        answer = client.get(f"/vouchers?{query}")
        assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), query


forged_positions = [
    "2027-01-01T00:00:00~1",
    "0001-01-01T00:00:00+01:00~1",
    "9999-12-31T23:59:59-01:00~1",
    "2027-01-01T00:00:00+00:00~99999999999999999999",
    "2027-01-01T00:00:00+00:00~１",
    "2027-01-01T00:00:00+00:00~-1",
    "2027-01-01T00:00:00+00:00~" + "9" * 5000,
]


def test_a_forged_cursor_is_422(client, make):
    make.voucher()
    for position in forged_positions:
        cursor = base64.urlsafe_b64encode(position.encode()).decode()
        answer = client.get("/vouchers", query_string={"email": ana, "cursor": cursor})
        assert (answer.status_code, list(answer.json["errors"])) == (422, ["cursor"]), position


def test_control_characters_in_headers_are_never_a_500(server):
    for name in ("X-Request-Id", "Authorization", "Content-Type", "Host"):
        for value in (b"a\x00b", b"a\x01b", b"a\x7fb", b"a\xffb", b"a\rb", b"\xe2\x80\xa8"):
            with socket.create_connection(
                ("127.0.0.1", server.port), timeout=most_seconds
            ) as connection:
                head = f"GET /vouchers?email={ana} HTTP/1.1\r\nConnection: close\r\n{name}: "
                connection.sendall(head.encode() + value + b"\r\n\r\n")
                status = connection.recv(4096).split(b" ")[1]
            assert status.startswith(b"4"), (name, value, status)


def test_a_wrong_limit_or_cursor_in_a_json_body_is_422_and_named(client, make):
    make.voucher()
    for field in ("limit", "cursor"):
        for value in (True, [], {}, 1.5, 0, -1, 10**30, "", "１", "x", {"a": 1}):
            answer = client.get("/vouchers", json={"email": ana, field: value})
            assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), value
