"""Files take a quarter of a process's threads, at least one; others shall come later."""

import socket
from dataclasses import replace

import pytest

from tests.builders import in_days
from tests.conftest import config
from tests.patience import until
from tests.server import run_gunicorn
from tests.shop import open_shop, outcome
from voucherpool import create_app
from voucherpool.database.model import db
from voucherpool.files import exporting

busy = (503, "too_many_transfers")
export = "/offers/1/codes"


@pytest.fixture
def offer(make):
    make.voucher(code="SUMMER-1")


@pytest.fixture
def shop_of(database_url, offer):
    """Return a function that returns a shop of a service with so many threads in a process."""
    apps = []

    def shop_of(threads):
        apps.append(create_app(replace(config(database_url), threads=threads)))
        return open_shop(apps[-1])

    yield shop_of
    for app in apps:
        with app.app_context():
            db.engine.dispose()


def send(shop, code="SUMMER-2"):
    text = f"code,expires_at\n{code},{in_days(1)}\n"
    return shop.post("/offers/1/imports", data=text, content_type="text/csv")


@pytest.mark.parametrize(("threads", "places"), [(1, 1), (4, 1), (7, 1), (8, 2), (64, 16)])
def test_a_quarter_of_the_threads_is_for_files_and_at_least_one(shop_of, threads, places):
    shop = shop_of(threads)
    unread = [shop.get(export) for _ in range(places)]
    assert {answer.status_code for answer in unread} == {200}
    for answer in (shop.get(export), shop.get("/batches/1/codes"), send(shop)):
        assert outcome(answer) == busy
        assert int(answer.headers["Retry-After"]) > 0
    unread[0].close()
    assert send(shop).status_code == 201
    for answer in unread:
        answer.close()


def test_a_file_in_hand_holds_up_no_other_request(shop_of):
    shop = shop_of(1)
    with shop.get(export):
        assert shop.redeem("SUMMER-1").status_code == 201


def test_no_answer_keeps_its_place(shop_of, monkeypatch):
    shop = shop_of(1)
    for _ in range(3):
        with shop.get(export) as answer:
            assert len(answer.data.splitlines()) == 2
        with shop.head(export) as answer:
            assert answer.status_code == 200
        assert shop.get("/offers/7/codes").status_code == 404
        assert shop.get("/batches/7/codes").status_code == 404
        assert shop.options(export).status_code == 200
        assert send(shop, "X!").status_code == 422
        answer = shop.post("/offers/1/imports", data="code\n", content_type="text/plain")
        assert answer.status_code == 415
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "of_offer", lambda _: 1 / 0)
        shop.application.testing = False
        assert shop.get(export).status_code == 500
    with shop.get(export) as answer:
        assert answer.status_code == 200


def test_whom_the_key_does_not_admit_takes_no_place(shop_of):
    shop = shop_of(1)
    with shop.get(export):
        assert shop.get(export, headers={"Authorization": "Bearer x"}).status_code == 401


large = """
    SET LOCAL statement_timeout = 0;
    INSERT INTO customers (email, email_key)
    VALUES (repeat('x', 240) || '@example.org', repeat('x', 240) || '@example.org');
    INSERT INTO vouchers (code_key, code, offer_id, customer_id, expires_at)
    SELECT code, code, 1, (SELECT max(id) FROM customers), now() + interval '1 day'
    FROM generate_series(1, 30000) AS n, to_char(n, 'FM000000') AS code"""


def test_a_client_that_goes_away_gives_its_place_back(database_url, key, offer, sql):
    sql(large)  # more than the sockets' buffers take
    with run_gunicorn(database_url, workers=1) as port:
        for _ in range(2):
            taken = []
            until(lambda: take_place(port, key, taken))  # noqa: B023 (it is called here)
            assert not take_place(port, key, taken)
            for client in taken:
                client.close()


def take_place(port, key, taken):
    """Begin an export; if it is not refused, add its client, who reads no more than the status."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    head = f"GET {export} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
    client.sendall(head.encode())
    if client.recv(12) == b"HTTP/1.1 200":
        taken.append(client)
        return True
    client.close()
    return False
