"""The operations of `make bench`, and the vouchers that they need."""

from sqlalchemy.engine import URL

from bench import fill
from bench.fill import Group
from bench.load import Operation

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

bare = Operation("bare Flask route", "/vouchers/validate", voucher, fresh)
floor = Operation("floor route", "/vouchers/validate", voucher, fresh)
redeem = Operation("validate", "/vouchers/validate", voucher, fresh)
redeem_with_key = Operation(
    "validate with Idempotency-Key", "/vouchers/validate", voucher, fresh, with_key=True
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


def all_of(database: URL) -> list[Operation]:
    """Return the operations of a round; those that are compared follow each other."""
    cursor = fill.cursor(database, many, 0, far_page)
    pages = f"/vouchers?email={many.email(0)}"
    return [
        redeem,
        redeem_with_key,
        spread,
        hot,
        limited,
        check,
        Operation("list", "/vouchers?email=$email", "", kept, "GET"),
        Operation(first, pages, "", kept, "GET"),
        Operation(far, f"{pages}&cursor={cursor}", "", kept, "GET"),
        Operation("generate", "/vouchers/generate", new_voucher, fresh),
        Operation("hold", "/vouchers/hold", voucher, fresh),
        Operation("claim", "/vouchers/claim", claim, fresh),
    ]
