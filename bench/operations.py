"""The operations of `make bench`, and the vouchers that they need."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL

from bench import fill, home
from bench.fill import Group
from bench.load import Operation
from voucherpool.events import event_types

fresh = Group("F", 400_000)
kept = Group("K", 50_000, per_customer=10)
pool = Group("P", 200_000, per_customer=None)
many = Group("M", 1_000_100, per_customer=1_000_100)
groups = (fresh, kept, pool, many)

far_page = 10_000
voucher = '{"code":"$code","email":"$email"}'
hot_voucher = f'{{"code":"{fill.hot_code}","email":"$email"}}'
limited_voucher = f'{{"code":"{fill.limited_code}","email":"$email"}}'
new_voucher = (
    '{"email":"$email","offer_name":"KOI","discount":22.1,"expiry":"2099-04-21T18:25:43-05:00"}'
)
first, far = "list of 1 000 100, first page", f"list of 1 000 100, page {far_page}"
claim = '{"email":"$email","offer_name":"P"}'
webhook = f"""
    INSERT INTO webhooks (url, event_types, secret, active_from)
    VALUES ('http://127.0.0.1:9', ARRAY['{event_types.redeemed}'], '', now())"""

bare = Operation("bare Flask route", "/vouchers/validate", voucher, fresh, app="bench.bare:app")
floor = Operation("floor route", "/vouchers/validate", voucher, fresh, app="bench.floor:app")
floor_of_generate = Operation(
    "floor route of generate", "/vouchers/generate", new_voucher, fresh, app="bench.floor:app"
)
redeem = Operation("validate", "/vouchers/validate", voucher, fresh)
redeem_with_key = Operation(
    "validate with Idempotency-Key", "/vouchers/validate", voucher, fresh, with_key=True
)
redeem_with_webhook = Operation(
    "validate, a webhook asks for it", "/vouchers/validate", voucher, fresh, with_webhook=True
)
spread = Operation("validate, 64 connections", "/vouchers/validate", voucher, fresh, connections=64)
hot = Operation(
    "validate one hot code, 64 connections",
    "/vouchers/validate",
    hot_voucher,
    fresh,
    connections=64,
)
limited = Operation(
    "validate one hot code, a limit per customer, 64 connections",
    "/vouchers/validate",
    limited_voucher,
    fresh,
    connections=64,
)
check = Operation("check", "/vouchers/check", voucher, kept)
generate = Operation("generate", "/vouchers/generate", new_voucher, fresh)


def all_of(database: URL) -> list[Operation]:
    """Return the operations of a round; those that are compared follow each other."""
    cursor = fill.cursor(database, many, 0, far_page)
    pages = f"/vouchers?email={many.email(0)}"
    return [
        bare,
        floor,
        redeem,
        redeem_with_webhook,
        redeem_with_key,
        spread,
        hot,
        limited,
        check,
        Operation("list", "/vouchers?email=$email", "", kept, "GET"),
        Operation(first, pages, "", kept, "GET"),
        Operation(far, f"{pages}&cursor={cursor}", "", kept, "GET"),
        floor_of_generate,
        generate,
        Operation("hold", "/vouchers/hold", voucher, fresh),
        Operation("claim", "/vouchers/claim", claim, fresh),
    ]


@contextmanager
def running(operation: Operation, database: URL) -> Iterator[None]:
    """Let a webhook ask for redemptions while an operation runs that is `with_webhook`."""
    if operation.with_webhook:
        home.execute(database, webhook)
    yield
    if operation.with_webhook:
        home.execute(database, "DELETE FROM webhooks")
