"""API keys, scopes and open mode."""

import json
import uuid
from datetime import UTC

import pytest

from tests.builders import ana
from tests.patience import until
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import Config
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction

path = f"/vouchers?email={ana}"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def problem(answer):
    return answer.status_code, answer.json["code"]


@pytest.fixture
def routes(anonymous):
    """Return the method, address and scope of every route in the document, None for public ones."""
    return [
        (method.upper(), address_of(path, operation), scope_of(operation))
        for path, item in anonymous.get("/openapi.json").json["paths"].items()
        for name, operation in item.items()
        for method in ([name, "head"] if name == "get" else [name])
    ]


def address_of(path, operation):
    for parameter in operation["parameters"]:
        value = uuid.UUID(int=1) if parameter["schema"].get("format") == "uuid" else 1
        path = path.replace(f"{{{parameter['name']}}}", str(value))
    return path


def scope_of(operation):
    """Return the scopes of which a key needs one; an admin may what support may."""
    scopes = [scope for each in operation["security"] for scope in each["apiKey"]]
    return [*scopes, *(["admin"] if "support" in scopes else [])] or None


def test_every_route_serves_its_scope_and_no_other(app, anonymous, routes):
    with app.app_context(), transaction():
        keys = {scope: apikeys.create(scope, [scope]) for scope in apikeys.scopes}
    assert len({scopes[0] for _, _, scopes in routes if scopes}) >= 4
    for method, address, needed in routes:
        answer = anonymous.open(address, method=method)
        if needed is None:
            assert answer.status_code not in (401, 403), (method, address)
            continue
        assert answer.status_code == 401, (method, address)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        for scope, key in keys.items():
            answer = anonymous.open(address, method=method, headers=bearer(key))
            answer.close()
            if scope in needed:
                assert answer.status_code not in (401, 403), (method, address)
            else:
                assert answer.status_code == 403, (method, address, scope)
                assert method == "HEAD" or needed[0] in answer.json["detail"]


def test_options_of_a_guarded_route_needs_a_key(anonymous, routes):
    for _, address, scope in routes:
        if scope:
            assert anonymous.options(address).status_code == 401, address


def test_the_key_is_checked_before_the_body_is_read(anonymous):
    answer = anonymous.post("/vouchers/generate", data=b"not json")
    assert problem(answer) == (401, "api_key_required")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key.replace("vp_", "vp-"),
        lambda key: key.swapcase(),
        lambda key: key + "a",
        lambda key: "",
        lambda key: "vp_",
        lambda key: "ä" * 49,
    ],
)
def test_a_misspelt_key_is_401(anonymous, key, spoil):
    headers = bearer(spoil(key).encode().decode("latin-1"))
    assert problem(anonymous.get(path, headers=headers)) == (401, "api_key_invalid")


def test_a_misspelt_key_is_refused_without_a_query(app, anonymous, key):
    with app.app_context():
        db.engine.dispose()
    headers = bearer(key[:-1] + ("a" if key[-1] != "a" else "b"))
    assert anonymous.get(path, headers=headers).status_code == 401
    with app.app_context():
        assert db.engine.pool.checkedin() == 0


def test_another_scheme_is_401(anonymous, key):
    headers = {"Authorization": f"Basic {key}"}
    assert problem(anonymous.get(path, headers=headers)) == (401, "api_key_invalid")


def test_a_revoked_key_is_401_within_5_seconds(app, client, make, key, monkeypatch):
    assert apikeys.remembered_seconds < 5
    monkeypatch.setattr(apikeys, "remembered_seconds", 0.3)
    make.customer()
    assert client.get(path).status_code == 200
    with app.app_context(), transaction():
        apikeys.revoke("tests")
    until(lambda: client.get(path).status_code != 200)
    assert problem(client.get(path)) == (401, "api_key_invalid")


def test_only_a_digest_of_the_key_is_stored(key, sql):
    [row] = sql("SELECT k::text FROM api_keys k")
    assert key[3:20] not in row[0]


@pytest.fixture(scope="module")
def open_app(shared_app):
    """Return an application in open mode."""
    app = create_app(Config(shared_app.config["SQLALCHEMY_DATABASE_URI"], open_mode=True))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def open_client(open_app, make):
    """Return a client of the application in open mode."""
    make.customer()
    return open_app.test_client()


def test_open_mode_serves_a_program_on_this_machine(open_client):
    for host in ("127.0.0.1:5000", "localhost:5000", "[::1]:5000", "localhost"):
        answer = open_client.get(path, headers={"Host": host, "Origin": f"http://{host}"})
        assert answer.status_code == 200
    for headers in (
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Referer": "http://localhost/docs"},
    ):
        assert open_client.get(path, headers=headers).status_code == 200
    answer = open_client.get(path, environ_base={"REMOTE_ADDR": "::1"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Proto": "http"},
        {"X-Forwarded-Anything": "1"},
        {"X-Forwarded": "1"},
        {"X-Real-IP": "127.0.0.1"},
        {"x-real-ip": "127.0.0.1"},
        {"CF-Connecting-IP": "127.0.0.1"},
        {"CF-Ray": "1"},
        {"CDN-Loop": "cloudflare"},
        {"True-Client-IP": "127.0.0.1"},
        {"X-Client-IP": "127.0.0.1"},
        {"X-Cluster-Client-IP": "127.0.0.1"},
        {"X-Original-URL": "/"},
        {"X-Envoy-External-Address": "127.0.0.1"},
        {"Fastly-Client-IP": "127.0.0.1"},
        {"Tailscale-User-Login": "ana"},
        {"X-Amzn-Trace-Id": "1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Host": "rebound.example.org"},
        {"Host": "localhost.example.org:5000"},
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        {"Sec-Fetch-Site": "none", "Origin": "https://example.org"},
        {"Referer": "https://example.org/"},
        {"Referer": "http://localhost.example.org/"},
        {"Referer": "http://localhost:8080/"},
        {"Referer": ""},
    ],
    ids=str,
)
def test_open_mode_serves_nobody_through_a_proxy_or_a_web_page(open_client, headers):
    assert problem(open_client.get(path, headers=headers)) == (401, "api_key_required")


def test_open_mode_serves_no_other_machine(open_client):
    for address in ("10.0.0.1", "192.168.1.1", "2001:db8::1", ""):
        answer = open_client.get(path, environ_base={"REMOTE_ADDR": address})
        assert problem(answer) == (401, "api_key_required")


def test_open_mode_still_refuses_a_wrong_key(open_client):
    assert problem(open_client.get(path, headers=bearer("vp_x"))) == (401, "api_key_invalid")


def test_the_last_use_of_a_key_is_noted_but_not_with_every_request(app, make, sql):
    make.customer()
    client = open_shop(app)
    used = "SELECT last_used_at FROM api_keys WHERE name = 'shop'"
    assert sql(used) == [(None,)]
    client.get(path)
    [[first]] = sql(used)
    assert first is not None
    app.extensions["apikeys"].grants.clear()
    client.get(path)
    assert sql(used) == [(first,)]
    sql("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
    app.extensions["apikeys"].grants.clear()
    client.get(path)
    [[last]] = sql(used)
    assert last > first
    shown = last.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert shown in app.test_cli_runner().invoke(args=["apikeys", "list"]).output


def test_the_log_says_whose_key_lacks_the_scope(app, anonymous, capsys):
    with app.app_context(), transaction():
        key = apikeys.create("reader", ["read"])
    assert problem(anonymous.post("/vouchers/redeem", headers=bearer(key))) == (
        403,
        "scope_missing",
    )
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["code"], line["api_key_id"]) == ("scope_missing", 1)
