"""Attacks on the console, each refused."""

import re
from http.cookies import SimpleCookie
from ipaddress import ip_network

import pytest
from flask import session
from flask.sessions import NullSession

from tests.console.conftest import Browser, https, password
from voucherpool import create_app
from voucherpool.apikeys import failed_attempts
from voucherpool.console.users import service as users
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction

hasher_of_the_service = users.hasher  # before the tests take a quicker one
script = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_the_cookie_is_for_the_console_alone_and_no_script_reads_it(browser, user):
    answer = browser.sign_in(user("support"))
    [cookie] = SimpleCookie(answer.headers["Set-Cookie"]).values()
    assert cookie.key == "__Secure-voucherpool"
    assert (cookie["path"], cookie["samesite"]) == ("/console", "Strict")
    assert cookie["secure"]
    assert cookie["httponly"]


def test_no_request_of_the_api_reads_the_session(browser, user, app):
    browser.sign_in(user("admin"))
    for path in ("/offers", "/consoles"):
        cookie = {"Cookie": f"__Secure-voucherpool={browser.get_cookie_value()}"}
        answer = browser.get(path, base_url=https, headers=cookie)
        assert answer.status_code in (401, 404)
        assert "Vary" not in answer.headers
        assert "Set-Cookie" not in answer.headers


def test_a_session_is_opened_for_the_console_alone(app):
    for path, is_opened in (("/console/", True), ("/vouchers/redeem", False), ("/", False)):
        with app.test_request_context(path):
            assert (type(session._get_current_object()) is not NullSession) == is_opened, path


def test_a_page_is_only_for_who_has_signed_in(app, browser):
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if not rule.endpoint.startswith("console.") or view.needs == "everybody":
            continue
        path = rule.rule.removeprefix("/console")
        path = re.sub("<[^>]+>", "1", path)
        if "GET" in rule.methods:
            assert browser.load(path).location == "/console/sign-in", path
        else:
            assert browser.send_bare(path, {}).location == "/console/sign-in", path


def test_a_form_of_another_site_is_refused(signed_in, make, client):
    code = make.voucher()
    browser = signed_in("admin")
    form = {"code": code, "reason": "evil"}
    for token in ({}, {"csrf_token": ""}, {"csrf_token": "x.y.z"}):
        assert browser.send_bare("/vouchers/disable", form | token).status_code == 403
    assert client.redeem(code).status_code == 201


def test_the_token_of_another_session_is_refused(app, signed_in, browser):
    mine = re.search('name="csrf_token" value="([^"]+)"', browser.load("/sign-in").text)[1]
    victim = signed_in("admin")
    assert victim.send_bare("/sign-out", {"csrf_token": mine}).status_code == 403


def test_nobody_is_signed_in_by_another_site(browser, user):
    form = {"email": user("support"), "password": password}
    assert browser.send_bare("/sign-in", form).status_code == 403


def test_what_an_attacker_put_into_the_cookie_before_is_gone_after_signing_in(browser, user):
    before = re.search('name="csrf_token" value="([^"]+)"', browser.load("/sign-in").text)[1]
    browser.sign_in(user("support"))
    assert browser.send_bare("/sign-out", {"csrf_token": before}).status_code == 403


def test_a_cookie_that_was_changed_or_made_up_is_no_session(app, browser, user):
    browser.sign_in(user("admin"))
    good = browser.get_cookie_value()
    for bad in (good[:-2], good.swapcase(), "e30.aaaa.bbbb", "", "\x7f", "x" * 4000):
        other = Browser(app, app.response_class)
        headers = {"Cookie": f"__Secure-voucherpool={bad}"}
        assert other.load("/", headers=headers).location == "/console/sign-in"


def test_signing_out_ends_the_sessions_of_all_browsers(app, browser, signed_in):
    here = signed_in("support")
    stolen = {"Cookie": f"__Secure-voucherpool={here.get_cookie_value()}"}
    assert browser.sign_in("support@shop.example").status_code == 302
    assert here.send("/sign-out", {}, of="/").location == "/console/sign-in"
    assert browser.load("/").location == "/console/sign-in"
    thief = Browser(app, app.response_class)
    assert thief.load("/", headers=stolen).location == "/console/sign-in"


def test_a_removed_user_and_a_lower_role_hold_from_the_next_page_on(app, signed_in):
    browser = signed_in("admin")
    with app.app_context(), transaction():
        users.change_role("admin@shop.example", "support")
    assert browser.load("/activity").status_code == 403
    with app.app_context(), transaction():
        users.remove("admin@shop.example")
    assert browser.load("/").location == "/console/sign-in"


def test_a_role_may_do_no_more_than_its_scopes(app, signed_in, make, client):
    make.voucher()
    forms = {
        "support": ("/offers/new", "/offers/1/change", "/offers/1/campaign", "/offers/1/vouchers"),
        "marketing": ("/activity", "/schedules"),
    }
    posts = {
        "support": ("/vouchers/change", "/changes/1/do", "/batches/1/cancel", "/batches/1/codes"),
        "marketing": (
            "/customers/1/erase",
            "/customers/1/export",
            "/customers/1/e-mails",
            "/webhooks/1/retry",
        ),
    }
    posts["support"] += posts["marketing"]
    forms["support"] += forms["marketing"]
    for role in ("support", "marketing"):
        browser = signed_in(role)
        for path in forms[role]:
            assert browser.load(path).status_code == 403, (role, path)
        for path in posts[role]:
            fields = {"confirmation": "ana@example.org", "code": "X", "reason": "r"}
            assert browser.send(path, fields, of="/").status_code == 403, (role, path)
    assert client.get("/customers/1").status_code == 200


def test_no_page_may_be_framed_or_run_a_script_of_its_own(signed_in, browser):
    for answer in (browser.load("/sign-in"), signed_in("admin").load("/")):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"


def test_no_template_has_a_script_or_a_style(app):
    loader = app.blueprints["console"].jinja_loader
    for name in loader.list_templates():
        source = loader.get_source(app.jinja_env, name)[0]
        assert not re.search(
            r"<script(?! defer src)|<style|\sstyle=|\son\w+=|\|safe|javascript:", source
        ), name


def test_a_script_in_what_the_shop_stores_is_shown_as_text(signed_in, make, client):
    name = f"Sale {script}"
    make.customer()
    body = {"email": "ana@example.org", "offer_name": name, "discount": 20}
    code = client.post("/vouchers/generate", json=body | {"expiry": "2099-01-01"}).json["code"]
    client.redeemed(code, order_ref=script, metadata={"note": script})
    client.patch("/customers/1", json={"name": script})
    client.post("/vouchers/disable", json={"code": code, "reason": script})
    browser = signed_in("admin")
    pages = [browser.load(path).text for path in ("/", "/offers", "/offers/1", "/customers/1")]
    pages += [browser.load(path).text for path in ("/activity", "/offers/1/campaign")]
    pages.append(browser.send("/vouchers", {"code": code}).text)
    pages.append(browser.send("/redemptions", {"order_ref": script}).text)
    pages.append(browser.send("/customers", {"part": script}).text)
    pages.append(browser.load("/offers?part=%3Cscript%3Ealert(1)").text)
    for page in pages:
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>" not in page
        assert "<img" not in page


def test_passwords_are_not_guessed_and_an_unknown_user_is_like_a_known_one(app, browser, user):
    email = user("support")
    most = app.config["FAILED_ATTEMPTS_PER_EMAIL"]
    for one in (email, "nobody@shop.example"):
        for _ in range(most):
            answer = browser.sign_in(one, "wrong password")
            assert answer.status_code == 403
            assert "E-mail or password is wrong." in answer.text
        refused = browser.sign_in(one, password)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) <= failed_attempts.window_seconds


def test_a_link_to_choose_a_password_works_once_and_for_a_day(app, browser, sql):
    with app.app_context(), transaction():
        token = users.add("ana@shop.example", "support")
    path = f"/password/{token}"
    assert "ana@shop.example" in browser.load(path).text
    for wrong in ({"password": "short", "again": "short"}, {"password": password, "again": "no"}):
        assert browser.send(path, wrong).status_code == 422
    both = {"password": password, "again": password}
    assert browser.send(path, both).location == "/console/sign-in"
    assert browser.load(path).status_code == 404
    assert browser.sign_in("ana@shop.example").status_code == 302
    with app.app_context(), transaction():
        later = users.renew_link("ana@shop.example")
    sql("UPDATE console_users SET link_until = now()")
    assert browser.load(f"/password/{later}").status_code == 404


def test_the_database_holds_no_password_and_no_link(app, user, sql):
    user("support")
    with app.app_context(), transaction():
        token = users.renew_link("support@shop.example")
    [row] = sql("SELECT console_users::text FROM console_users")
    assert password not in row[0]
    assert "$argon2id$" in row[0]
    assert token not in row[0]


def test_a_password_is_hashed_with_the_work_that_owasp_asks_for():
    assert hasher_of_the_service.hash(password).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.fixture
def behind_proxy(app, monkeypatch):
    """Let the proxy at 10.1.0.5 name the console's user."""
    monkeypatch.setitem(app.config, "CONSOLE_USER_HEADER", "X-User")
    monkeypatch.setitem(app.config, "CONSOLE_PROXIES", (ip_network("10.1.0.5"),))


def named(browser, email, address):
    """Load the first page with the header from an address."""
    return browser.load("/", headers={"X-User": email}, environ_base={"REMOTE_ADDR": address})


def test_only_a_trusted_proxy_names_the_user(behind_proxy, app, browser, signed_in, user):
    email = user("support")
    assert named(browser, email, "10.1.0.5").status_code == 200
    for address in ("10.1.0.6", "127.0.0.1", "::1", ""):
        assert named(browser, email, address).location == "/console/sign-in"
    for other in ("nobody@shop.example", f"{email},admin@shop.example", "", "\x00"):
        assert named(browser, other, "10.1.0.5").location == "/console/sign-in"


def test_behind_a_proxy_no_session_of_a_password_counts(app, monkeypatch, signed_in):
    browser = signed_in("admin")
    monkeypatch.setitem(app.config, "CONSOLE_USER_HEADER", "X-User")
    assert browser.load("/").location == "/console/sign-in"


def test_behind_a_proxy_no_password_signs_in(behind_proxy, browser, user):
    assert "password" not in browser.load("/sign-in").text
    assert browser.sign_in(user("support")).status_code == 403


def test_without_a_proxy_the_header_names_nobody(browser, user):
    assert named(browser, user("support"), "127.0.0.1").location == "/console/sign-in"


def test_open_mode_signs_in_who_is_on_this_machine(app, monkeypatch, browser, sql, make):
    code = make.voucher()
    monkeypatch.setitem(app.config, "OPEN_MODE", True)
    local = {"base_url": "http://localhost"}
    page = browser.get("/console/", **local)
    assert page.status_code == 200
    far = browser.get("/console/", environ_base={"REMOTE_ADDR": "10.1.0.9"}, **local)
    assert far.location == "/console/sign-in"
    evil = browser.get("/console/", headers={"Sec-Fetch-Site": "cross-site"}, **local)
    assert evil.location == "/console/sign-in"
    rebound = browser.get("/console/", base_url="http://evil.example")
    assert rebound.location == "/console/sign-in"
    assert code


def test_the_configuration_can_leave_the_console_out(app, database_url):
    from tests.conftest import config

    off = create_app(config(database_url).__class__(database_url, console=False))
    with off.app_context():
        assert off.test_client().get("/console/", base_url=https).status_code == 404
        db.engine.dispose()


def test_without_a_secret_key_the_console_says_what_is_missing(database_url):
    from voucherpool.config.settings import Config, durability

    bare = create_app(Config(database_url, tolerate_off=durability))
    answer = bare.test_client().get("/console/", base_url=https)
    assert answer.status_code == 409
    assert "VOUCHERPOOL_SECRET_KEY" in answer.text
    with bare.app_context():
        db.engine.dispose()


def test_input_that_no_browser_sends_is_no_error_of_the_service(signed_in, make):
    make.customer()
    browser = signed_in("admin")
    strange = ("\x00", "\ud800".encode("utf-8", "surrogatepass"), "9" * 5000, "ä" * 300, "1e999")
    paths = ("/vouchers", "/customers", "/redemptions", "/offers/new", "/offers/1/campaign")
    for path in paths:
        for text in strange:
            names = ("code", "part", "name", "discount", "email", "order_ref", "count", "expiry")
            fields = dict.fromkeys((*names, "from", "cursor", "audience", "prefix"), text)
            assert browser.send(path, fields, of="/").status_code < 500, (path, text)
    for address in ("/offers?cursor=%00", "/offers?part=%00", "/activity?subject=%00&from=x"):
        assert browser.load(address).status_code in (200, 422), address


def test_a_form_is_only_sent_by_post(signed_in, client, app):
    browser = signed_in("admin")
    fields = {"name": "SUMMER", "discount": "20", "discount_type": "percentage"}
    for method in ("HEAD", "GET", "OPTIONS"):
        for sent in ({"data": fields}, {"query_string": fields}):
            browser.open("/console/offers/new", method=method, base_url=https, **sent)
    assert client.get("/offers").json["items"] == []
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/console"):
            assert rule.methods <= {"GET", "HEAD", "OPTIONS", "POST"}, rule
