"""Each page of the console."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from voucherpool.console import shown
from voucherpool.console.pages import sentences
from voucherpool.console.users import service as users
from voucherpool.operations import worker
from voucherpool.support import search

pages = (
    "/",
    "/vouchers",
    "/offers",
    "/offers/new",
    "/customers",
    "/redemptions",
    "/activity",
    "/schedules",
)


def hidden(page):
    """Return the hidden fields of a page."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def change_all(app):
    """Let a worker do all changes."""
    with app.app_context():
        while worker.change_a_page():
            pass


@pytest.mark.parametrize("path", pages)
def test_an_empty_page_says_what_to_do(signed_in, path):
    answer = signed_in("admin").load(path)
    assert answer.status_code == 200, answer.text
    assert "<h1" in answer.text


def test_a_campaign_from_the_offer_to_the_file(app, signed_in, client):
    browser = signed_in("marketing")
    terms = {"name": "SUMMER", "discount": "20", "ends_at": "2099-08-31", "max_redemptions": "500"}
    made = browser.send("/offers/new", terms | {"discount_type": "percentage"})
    assert made.status_code == 302, made.text
    offer = client.get("/offers/1").json
    assert (offer["discount"], offer["ends_at"]) == (20, "2099-09-01T00:00:00Z")
    campaign = {"audience": "pool", "count": "3", "expiry": "2099-08-31", "prefix": "SUN"}
    preview = browser.send("/offers/1/campaign", campaign | {"preview": "1"})
    assert preview.text.count("<code>SUN-") == 3
    asked = browser.send("/offers/1/campaign", campaign)
    assert asked.location == "/console/batches/1"
    assert "data-renews" in browser.load("/batches/1").text
    with app.app_context():
        while worker.add_chunk_to_batch():
            pass
    page = browser.load("/batches/1").text
    assert "3 of 3 vouchers" in page
    assert "data-renews" not in page
    with browser.send("/batches/1/codes", {}, of="/batches/1") as file:
        assert file.text.count("SUN-") == 3
        assert "attachment" in file.headers["Content-Disposition"]


def test_a_form_with_errors_comes_back_with_what_was_typed_and_why_it_is_wrong(signed_in, client):
    browser = signed_in("marketing")
    wrong = {"name": "SUMMER", "discount": "20 %", "discount_type": "percentage"}
    answer = browser.send("/offers/new", wrong)
    assert answer.status_code == 422
    assert 'value="20 %"' in answer.text
    assert 'id="discount-wrong">Must be a number, such as 19.99' in answer.text
    assert client.get("/offers").json["items"] == []


def test_a_change_of_an_offer_leaves_alone_what_the_form_did_not_change(signed_in, client):
    start = "2030-05-01T10:30:00Z"
    body = {"name": "SUMMER", "discount": 20, "starts_at": start, "max_redemptions": 5}
    client.post("/offers", json=body)
    browser = signed_in("marketing")
    form = {"name": "SUMMER", "starts_at": "2030-05-01", "discount": "25", "max_redemptions": ""}
    assert browser.send("/offers/1/change", form).status_code == 302
    offer = client.get("/offers/1").json
    assert (offer["discount"], offer["starts_at"]) == (25, start)
    assert offer["max_redemptions"] is None


def test_a_double_click_makes_one_batch(signed_in, client):
    client.post("/offers", json={"name": "SUMMER", "discount": 20})
    browser = signed_in("marketing")
    page = browser.load("/offers/1/campaign").text
    form = {"audience": "pool", "count": "3", "expiry": "2099-08-31", **hidden(page)}
    both = [browser.send_bare("/offers/1/campaign", form) for _ in range(2)]
    assert {answer.location for answer in both} == {"/console/batches/1"}
    other = browser.send_bare("/offers/1/campaign", form | {"count": "4"})
    assert other.status_code == 422
    assert "sent before with other values" in other.text
    assert len(client.get("/offers/1/batches").json["items"]) == 1


def test_a_change_of_all_vouchers_is_counted_first_and_done_once(app, make, signed_in, client):
    code = make.voucher()
    before = client.post("/vouchers/lookup", json={"code": code}).json["expires_at"]
    browser = signed_in("marketing")
    form = {"what": "add", "days": "7", "chosen": "all", "reason": "The printer was late"}
    assert browser.send("/offers/1/vouchers", form).location == "/console/changes/1"
    change_all(app)
    page = browser.load("/changes/1").text
    assert "<strong>1</strong> of 1 vouchers would change." in page
    assert client.post("/vouchers/lookup", json={"code": code}).json["expires_at"] == before
    for _ in range(2):
        done = browser.send("/changes/1/do", {}, of="/changes/1")
        assert done.location == "/console/changes/2"
    change_all(app)
    after = client.post("/vouchers/lookup", json={"code": code}).json["expires_at"]
    moments = (datetime.fromisoformat(moment) for moment in (after, before))
    assert next(moments) - next(moments) == timedelta(days=7)
    assert browser.send("/changes/2/do", {}, of="/changes/1").status_code == 409


def test_a_voucher_shows_its_state_and_all_that_happened_to_it(make, signed_in, client):
    code = make.voucher(code="FISH-4-FRIENDS")
    browser = signed_in("support")
    page = browser.send("/vouchers", {"code": "fish 4 friends"}).text
    assert "Would redeem now for ana@example.org, until " in page
    client.check(code, email=make.customer("ben@example.org"))
    page = browser.send("/vouchers", {"code": code}).text
    assert "The voucher belongs to another customer. ben@example.org tried to check." in page
    redeemed = client.redeemed(code, order_ref="A-1")
    page = browser.send("/vouchers", {"code": code}).text
    assert "Was redeemed on " in page
    assert "By ana@example.org, order A-1" in page
    back = {"redemption_id": redeemed["redemption_id"], "reason": "returned", "code": code}
    page = browser.send("/vouchers/give-back", back, of="/vouchers").text
    assert "The redemption was given back." in page
    assert "Would redeem now" in page


def test_a_voucher_is_disabled_and_enabled_with_a_reason(make, signed_in, client, sql):
    code = make.voucher()
    browser = signed_in("support")
    nameless = browser.send("/vouchers/disable", {"code": code}, of="/vouchers")
    assert nameless.status_code == 422
    assert "reason: Missing data" in nameless.text
    page = browser.send("/vouchers/disable", {"code": code, "reason": "leaked"}, of="/vouchers")
    assert "Is disabled since " in page.text
    assert "console:support@shop.example: leaked" in page.text
    assert client.redeem(code).status_code == 409
    again = browser.send("/vouchers/enable", {"code": code, "reason": "found"}, of="/vouchers")
    assert "Would redeem now" in again.text
    assert client.redeem(code).status_code == 201
    by = "SELECT actor, action, reason FROM audit_log WHERE subject = 'voucher' ORDER BY id"
    assert [tuple(row) for row in sql(by)] == [
        ("console:support@shop.example", "voucher.disabled", "leaked"),
        ("console:support@shop.example", "voucher.enabled", "found"),
    ]


def test_a_voucher_is_extended(make, signed_in, client):
    code = make.voucher()
    browser = signed_in("marketing")
    form = {"code": code, "expiry": "2099-12-31", "max_redemptions": "1", "reason": "so promised"}
    assert "The voucher is changed." in browser.send("/vouchers/change", form, of="/vouchers").text
    record = client.post("/vouchers/lookup", json={"code": code}).json
    assert record["expires_at"] == "2100-01-01T00:00:00Z"
    never = {"code": code, "never": "1", "max_redemptions": "1", "reason": "so promised"}
    assert "it never expires" in browser.send("/vouchers/change", never, of="/vouchers").text


def test_an_unknown_code_is_said_to_be_unknown(signed_in):
    answer = signed_in("support").send("/vouchers", {"code": "NOT-HERE-AT-ALL"})
    assert answer.status_code == 404
    assert "No voucher has this code." in answer.text


@pytest.mark.parametrize("state", sorted({*sentences.sentences} - {"customer_not_found"}))
def test_each_state_has_a_sentence(state):
    now = datetime.now(UTC)
    moments = dict.fromkeys(("used_at", "expires_at", "disabled_at", "starts_at"), now)
    voucher = {"email": None, "max_redemptions": 2, "redemption_count": 1, "holds": []}
    with_moments = {**voucher, **moments, "archived_at": now}
    with Flask(__name__).test_request_context() as context:
        context.app.config["TIMEZONE"] = "Europe/Berlin"
        assert "It was archived on" in sentences.of_state(state, with_moments)


def test_every_state_of_a_voucher_is_said():
    assert {*search.states} <= {*shown.sentences()}


def test_a_customer_is_found_and_shown_with_vouchers_and_redemptions(make, signed_in, client):
    make.voucher(code="USED-UP-1")
    make.voucher(code="STILL-OPEN-1")
    client.redeemed("USED-UP-1", order_ref="A-1")
    browser = signed_in("support")
    assert (
        '<a href="/console/customers/1">ana@example.org</a>'
        in browser.send("/customers", {"part": "ANA"}).text
    )
    page = browser.load("/customers/1").text
    assert page.count("USED-UP-1</button>") == 2
    assert page.count("STILL-OPEN-1</button>") == 1
    assert "Erase" not in page


def test_the_vouchers_and_redemptions_of_a_customer_are_paged(make, signed_in, client):
    for number in range(10, 32):
        client.redeemed(make.voucher(code=f"CODE-{number}-A", days=number), order_ref=f"A-{number}")
    browser = signed_in("support")
    first = browser.load("/customers/1").text
    assert first.count("CODE-31-A</button>") == 2
    assert "CODE-10-A" not in first
    [cursor] = re.findall(r"customers/1\?cursor=([^\"]+)", first)
    rest = browser.load(f"/customers/1?cursor={cursor}").text
    assert "CODE-10-A</button>" in rest
    [cursor] = re.findall('name="cursor" value="([^"]+)"', first)
    fields = {"email": "ana@example.org", "cursor": cursor}
    assert "CODE-10-A</button>" in browser.send("/redemptions", fields).text


def test_an_address_without_a_page_says_so_on_a_page(signed_in, browser):
    for visitor in (browser, signed_in("support")):
        for path in ("/nothing", "/offers/0x1", "/vouchers/disable"):
            answer = visitor.load(path)
            assert answer.status_code == 404
            assert "There is no such page." in answer.text
            assert "<main" in answer.text


def test_a_customer_is_erased_after_the_e_mail_was_typed(make, signed_in, client, sql):
    make.voucher()
    browser = signed_in("admin")
    wrong = browser.send("/customers/1/erase", {"confirmation": "ana"}, of="/customers/1")
    assert wrong.status_code == 422
    assert client.get("/customers/1").status_code == 200
    browser.send("/customers/1/erase", {"confirmation": "ana@example.org"}, of="/customers/1")
    assert client.get("/customers/1").status_code == 404
    assert browser.load("/customers/1").status_code == 404


def test_a_customer_is_opted_out_of_e_mails_and_in_again(make, signed_in):
    make.customer()
    browser = signed_in("admin")
    browser.send("/customers/1/e-mails", {"opt_out": "1"}, of="/customers/1")
    assert "none wanted since" in browser.load("/customers/1").text
    browser.send("/customers/1/e-mails", {"opt_in": "1"}, of="/customers/1")
    assert "none wanted since" not in browser.load("/customers/1").text


def test_all_that_is_kept_about_a_customer_is_exported(make, signed_in):
    make.voucher()
    with signed_in("admin").send("/customers/1/export", {}, of="/customers/1") as file:
        assert "ana@example.org" in file.text
        assert "customer-1.json" in file.headers["Content-Disposition"]


def test_redemptions_are_searched_paged_and_sent_as_a_file(make, signed_in, client):
    code = make.voucher(max_redemptions=60)
    for number in range(52):
        client.redeemed(code, order_ref=f"A-{number}")
    browser = signed_in("support")
    first = browser.send("/redemptions", {"offer_name": "KOI"}).text
    assert "A-51" in first
    assert "A-1<" not in first
    [cursor] = re.findall('name="cursor" value="([^"]+)"', first)
    rest = browser.send("/redemptions", {"offer_name": "KOI", "cursor": cursor}).text
    assert "A-1<" in rest
    assert "A-51" not in rest
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    with browser.send("/redemptions", {"from": today, "to": today, "download": "1"}) as file:
        assert len(file.text.splitlines()) == 53
    nothing = browser.send("/redemptions", {"order_ref": "B-1"})
    assert "No redemption was found." in nothing.text


def test_the_overview_shows_today(make, signed_in, client):
    client.redeemed(make.voucher(), order_amount=50)
    page = signed_in("support").load("/").text
    assert "<small>Redeemed today</small><strong>1</strong>" in page
    assert '<a href="/console/offers/1">KOI</a>' in page
    assert page.count("<rect") == 3 * 90


def test_the_activity_names_who_did_what(make, signed_in, client):
    make.voucher(code="FISH-4-FRIENDS")
    client.post("/vouchers/disable", json={"code": "FISH-4-FRIENDS", "reason": "leaked"})
    browser = signed_in("admin")
    page = browser.load("/activity").text
    assert "console:admin@shop.example" in page
    assert "console user signed in" in page
    assert "tests</td><td>voucher disabled</td>" in page
    assert "leaked" in page
    assert "leaked" not in browser.load("/activity?subject=offer").text


def test_moments_are_those_of_the_shop_as_the_browser_writes_them(
    app, make, signed_in, monkeypatch
):
    make.customer()
    monkeypatch.setitem(app.config, "TIMEZONE", "Asia/Tokyo")
    browser = signed_in("support")
    german = browser.load("/customers/1", headers={"Accept-Language": "de-DE,de;q=0.9"}).text
    local = datetime.now(ZoneInfo("Asia/Tokyo"))
    assert f"{local.day:02}.{local.month:02}.{local.year}, {local:%H:}" in german
    for language in ("../../etc", "xx-YY", "x" * 500, "de_DE@=;"):
        answer = browser.load("/customers/1", headers={"Accept-Language": language})
        assert answer.status_code == 200


def test_a_database_that_is_away_is_told_on_a_page(signed_in, monkeypatch):
    browser = signed_in("support")

    def away(_):
        raise OperationalError("SELECT", {}, Exception())

    monkeypatch.setattr(users, "of_session", away)
    answer = browser.load("/")
    assert (answer.status_code, answer.mimetype) == (503, "text/html")
    assert answer.headers["Retry-After"] == "2"
    assert "The database does not answer: try again." in answer.text
