"""The Python client: against a real service, through a proxy that loses and refuses as told."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from client import generate, voucherpool_client
from client.voucherpool_client import Client, NoAnswer, Refused, all_items
from tests.builders import ana, in_days
from tests.patience import most_seconds

busy = b'{"code":"database_unavailable","detail":"Later."}'


class Proxy:
    """Passes requests on to the service, and has a mishap with each for which one is planned."""

    def __init__(self, port):
        self.port, self.mishaps, self.keys, self.retry_after = port, [], [], "2"

    def answer(self, handler):
        """Answer a request of the client."""
        content = handler.rfile.read(int(handler.headers["Content-Length"] or 0))
        self.keys.append(handler.headers["Idempotency-Key"])
        mishap = self.mishaps.pop(0) if self.mishaps else None
        if mishap == "busy":
            headers = {"Content-Type": "application/problem+json", "Retry-After": self.retry_after}
            return send(handler, 503, headers, busy)
        if mishap == "bad gateway":
            return send(handler, 502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>")
        if mishap == "moved":
            return send(handler, 301, {"Location": "https://elsewhere.example"}, b"")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=most_seconds)
        connection.request(handler.command, handler.path, content, dict(handler.headers))
        answer = connection.getresponse()
        received = answer.read()
        connection.close()
        if mishap == "lost":
            return handler.close_connection
        return send(handler, answer.status, dict(answer.headers), received)


def send(handler, status, headers, content):
    handler.send_response_only(status)
    for name, value in (headers | {"Content-Length": str(len(content))}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


@contextmanager
def serving(proxy) -> Iterator[int]:
    """Run a proxy and return its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            proxy.answer(self)

        def do_GET(self):
            proxy.answer(self)

        def do_DELETE(self):
            proxy.answer(self)

        def log_message(self, *_):
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def proxy(server):
    return Proxy(server.port)


@pytest.fixture
def pauses(monkeypatch):
    """Return what the client waits, which takes no time here."""
    seconds = []
    monkeypatch.setattr(voucherpool_client, "sleep", seconds.append)
    return seconds


@pytest.fixture
def shop(proxy, server, pauses):
    """Return a client that asks through the proxy."""
    with serving(proxy) as port:
        yield Client(f"http://127.0.0.1:{port}", server.key, timeout_seconds=most_seconds)


def redemptions(sql):
    [[count]] = sql("SELECT count(*) FROM redemptions")
    return count


def test_it_is_made_from_the_routes_of_the_service(app):
    text = generate.module.read_text()
    made = generate.generated(text, generate.document_of(app))
    assert made == text, "it is out of date: run `make client`"


def test_a_route_that_is_new_makes_it_out_of_date(app):
    text = generate.module.read_text()
    document = generate.document_of(app)
    operation = document["paths"]["/vouchers/lookup"]["post"] | {"operationId": "lookupTwice"}
    document["paths"]["/vouchers/lookup-twice"] = {"post": operation}
    made = generate.generated(text, document)
    assert "def lookup_twice(self, **body: Unpack[LookupRequest]) -> VoucherRecord:" in made


def test_the_service_serves_the_client_that_fits_it(anonymous):
    served = anonymous.get("/docs/examples/voucherpool_client.py", buffered=True)
    assert served.text == generate.module.read_text()


def test_it_issues_checks_holds_redeems_and_gives_back(shop, sql):
    terms = {"offer_name": "KOI", "discount": Decimal("22.1"), "expiry": in_days(1)}
    code = shop.generate_voucher(email=ana, create_customer=True, **terms)["code"]
    order = {"code": code, "email": ana, "order_amount": Decimal("59.90"), "currency": "EUR"}
    assert shop.check_voucher(**order)["discount_amount"] == Decimal("13.24")
    hold = shop.hold_voucher(**order)
    redeemed = shop.redeem_voucher(**order, hold_id=hold["hold_id"], order_ref="1")
    assert redeemed["discount_amount"] == Decimal("13.24")
    assert isinstance(redeemed["discount_amount"], Decimal)
    given_back = shop.reverse_redemption(redeemed["redemption_id"], reason="cancelled")
    assert given_back["reversed_at"] is not None
    assert shop.release_hold(hold_id=shop.hold_voucher(**order)["hold_id"]) is None


def test_a_refusal_says_why_and_is_not_repeated(shop, proxy, make):
    code = make.voucher()
    shop.redeem_voucher(code=code, email=ana)
    with pytest.raises(Refused) as refused:
        shop.redeem_voucher(code=code, email=ana)
    assert (refused.value.status, refused.value.code) == (409, "voucher_already_redeemed")
    assert refused.value.detail == "This voucher has already been redeemed."
    assert refused.value.request_id
    assert len(proxy.keys) == 2


def test_a_refusal_of_input_names_the_fields(shop):
    with pytest.raises(Refused) as refused:
        shop.redeem_voucher(code="", email="no e-mail")
    assert refused.value.code == "validation_failed"
    assert set(refused.value.errors) == {"code", "email"}


def test_a_service_that_cannot_serve_is_asked_again_with_the_same_key(
    shop, proxy, pauses, make, sql
):
    proxy.mishaps = ["busy", "bad gateway"]
    shop.redeem_voucher(code=make.voucher(), email=ana)
    assert len(proxy.keys) == 3
    assert len(set(proxy.keys)) == 1
    assert pauses == [2, 0.8]  # as Retry-After says, and without it longer each time
    assert redemptions(sql) == 1


def test_a_lost_answer_is_asked_for_again_and_the_voucher_is_redeemed_once(shop, proxy, make, sql):
    proxy.mishaps = ["lost", "lost"]
    code = make.voucher(max_redemptions=5)
    redeemed = shop.redeem_voucher(code=code, email=ana)
    assert len(proxy.keys) == 3
    assert redemptions(sql) == 1
    [[redemption]] = sql("SELECT id::text FROM redemptions")
    assert redeemed["redemption_id"] == redemption


def test_two_writes_have_two_keys(shop, proxy, make, sql):
    code = make.voucher(max_redemptions=5)
    for _ in range(2):
        shop.redeem_voucher(code=code, email=ana)
    assert len(set(proxy.keys)) == 2
    assert redemptions(sql) == 2


def test_whoever_gives_up_can_go_on_with_the_key(shop, proxy, make, sql):
    code = make.voucher(max_redemptions=5)
    proxy.mishaps = ["lost"] * 4
    with pytest.raises(NoAnswer) as given_up:
        shop.redeem_voucher(code=code, email=ana)
    assert len(proxy.keys) == 4
    shop.redeem_voucher(code=code, email=ana, idempotency_key=given_up.value.idempotency_key)
    assert len(set(proxy.keys)) == 1
    assert redemptions(sql) == 1


def test_what_is_busy_until_the_end_is_a_refusal_with_its_code(shop, proxy, make):
    proxy.mishaps = ["busy"] * 4
    with pytest.raises(Refused, match="database_unavailable") as refused:
        shop.redeem_voucher(code=make.voucher(), email=ana)
    assert refused.value.idempotency_key == proxy.keys[-1]


def test_it_gives_up_at_once_if_it_is_asked_to_wait_for_long(shop, proxy, pauses):
    proxy.mishaps, proxy.retry_after = ["busy"], "600"
    with pytest.raises(Refused) as refused:
        shop.list_offers()
    assert refused.value.retry_after_seconds == 600
    assert pauses == []


def test_it_follows_no_redirection_with_its_key(shop, proxy):
    proxy.mishaps = ["moved"]
    with pytest.raises(Refused, match="301") as refused:
        shop.list_offers()
    assert refused.value.code == "unexpected_answer"
    assert len(proxy.keys) == 1


def test_it_goes_through_all_pages_of_a_list(shop, proxy, make):
    codes = {make.voucher() for _ in range(5)}
    # One with a Link header, one with items and next, one whose cursor is in the body.
    assert {one["code"] for one in all_items(shop.list_vouchers, email=ana, limit=2)} == codes
    customer = shop.list_customers(email=ana)["items"][0]["id"]
    found = all_items(shop.list_customers_vouchers, customer, limit=2)
    assert {one["code"] for one in found} == codes
    assert {one["code"] for one in all_items(shop.search_vouchers, email=ana, limit=2)} == codes
    assert len(proxy.keys) == 3 + 1 + 3 + 3


def test_files_and_days_go_both_ways(shop):
    offer = shop.create_offer(name="Summer & sun", discount=10)["id"]
    imported = shop.import_vouchers(offer, "code\nSUMMER-26\n", expiry="2099-12-31")
    assert imported["imported"] == 1
    assert "SUMMER-26" in shop.export_offer(offer, bom=False)
    assert shop.read_statistics(offer, from_="2026-01-01", to="2026-01-02")["days"] == []
    assert [one["name"] for one in shop.list_offers(part="& s")["items"]] == ["Summer & sun"]
    assert shop.search_redemptions(from_="2026-01-01")["items"] == []
    assert shop.delete_offer(shop.create_offer(name="Winter", discount=10)["id"]) is None


def test_the_audit_log_names_the_person(shop):
    shop.create_offer(name="KOI", discount=10, actor="carla")
    assert {entry["actor"] for entry in all_items(shop.list_audit_log)} >= {"carla"}


@pytest.mark.parametrize("url", ["vouchers.example.com", "ftp://vouchers.example.com", "https://"])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="address"):
        Client(url)
