"""What an API key for support staff may do, and what not."""

import pytest

from tests.builders import ana
from tests.shop import open_shop
from voucherpool.apikeys import service as apikeys

no_id = "00000000-0000-0000-0000-000000000000"
allowed = [
    ("POST", "/vouchers/lookup"),
    ("POST", "/vouchers/search"),
    ("POST", "/vouchers/disable"),
    ("POST", "/vouchers/enable"),
    ("POST", "/redemptions/search"),
    ("POST", "/redemptions/export"),
    ("POST", "/redemptions/reverse"),
    ("POST", f"/redemptions/{no_id}/reverse"),
    ("GET", "/customers/1/vouchers"),
]
refused = [
    ("DELETE", "/customers/1"),
    ("GET", "/webhooks"),
    ("POST", "/webhooks"),
    ("GET", "/audit-log"),
    ("GET", "/events"),
    ("POST", "/vouchers/redeem"),
    ("POST", "/vouchers/generate"),
    ("PATCH", "/offers/1"),
    ("PUT", "/customers/1/opt-out"),
]


@pytest.fixture
def staff(app):
    """Return a client with an API key for support."""
    with app.app_context():
        return open_shop(app, apikeys.create("staff", ["support"]))


@pytest.mark.parametrize(("method", "path"), allowed)
def test_support_may(staff, make, method, path):
    code = make.voucher(ana)
    body = {"json": {"code": code}} if path.startswith("/vouchers/") else {}
    body = {"json": {"code_part": "fish"}} if path == "/vouchers/search" else body
    answer = staff.open(path, method=method, buffered=True, **body)
    assert answer.status_code in (200, 404, 422)
    assert answer.status_code != 403


@pytest.mark.parametrize(("method", "path"), refused)
def test_support_may_not(staff, make, method, path):
    make.voucher()
    answer = staff.open(path, method=method, json=None if method == "GET" else {})
    assert (answer.status_code, answer.json["code"]) == (403, "scope_missing")


def test_an_admin_may_what_support_may(app, make):
    code = make.voucher()
    with app.app_context():
        admin = open_shop(app, apikeys.create("admin", ["admin"]))
    assert admin.post("/vouchers/lookup", json={"code": code}).status_code == 200


def test_a_shop_that_redeems_may_give_back_and_no_more_of_it(app, make):
    code = make.voucher()
    with app.app_context():
        shop = open_shop(app, apikeys.create("checkout", ["redeem"]))
    shop.redeemed(code, order_ref="A-1")
    assert shop.post("/redemptions/reverse", json={"order_ref": "A-1"}).status_code == 200
    assert shop.post("/vouchers/lookup", json={"code": code}).status_code == 403
