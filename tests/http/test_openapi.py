"""/openapi.json and /docs."""

import json
import re
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.conftest import config
from tests.patience import most_seconds
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import checkout
from voucherpool.database.model import db

operation_ids = Path(__file__).with_name("operation_ids.txt")
documentation = {"/", "/openapi.json", "/docs"}
documentation |= {f"/docs/{folder}{{name}}" for folder in ("", "assets/", "examples/")}


def scope_of(operation):
    [*scopes] = operation["security"]
    return scopes[0]["apiKey"][0] if scopes else "public"


def test_the_document_names_every_route_its_scope_and_its_errors(app, anonymous):
    document = anonymous.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    documented = {
        (method.upper(), path): scope_of(operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    served = {
        (method, path): app.view_functions[rule.endpoint].scope
        for rule in app.url_map.iter_rules()
        if (path := re.sub("<[a-z]+:([a-z_]+)>", r"{\1}", rule.rule)) not in documentation
        if not path.startswith("/console")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert documented == served
    validate = document["paths"]["/vouchers/validate"]["post"]["responses"]
    assert {"201", "401", "403", "404", "409", "410", "422", "503"} <= set(validate)
    conflicts = validate["409"]["content"]["application/problem+json"]["examples"]
    assert "voucher_already_redeemed" in conflicts


def test_each_operation_keeps_its_id(anonymous):
    document = anonymous.get("/openapi.json").json
    found = [
        (method, path, operation["operationId"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    kept = [tuple(line.split()) for line in operation_ids.read_text().splitlines()]
    assert found == kept, f"an id never changes; a new operation belongs into {operation_ids.name}"


def test_the_page_loads_nothing_from_elsewhere(anonymous):
    page = anonymous.get("/docs").text
    assets = re.findall(r'<(?:link|script)[^>]* (?:src|href)="([^"]*)"', page)
    assert assets
    for asset in assets:
        assert asset.startswith("docs/assets/")
        with anonymous.get(f"/{asset}") as answer:
            assert answer.status_code == 200


def test_the_page_leads_to_the_guide_and_its_pages_lead_to_each_other(anonymous):
    assert "docs/guide.md" in anonymous.get("/docs").text
    guide = anonymous.get("/docs/guide.md")
    assert (guide.status_code, guide.mimetype) == (200, "text/html")
    assert '<h2 id="take-a-voucher-at-checkout">' in guide.text
    assert "<table>" in guide.text
    assert "<title>Guide" in guide.text
    links = set(re.findall(r'(?:href|src)="([^":]+)"', guide.text))
    assert {"operations.md#guessing", "examples/checkout.py"} <= links
    for page in sorted((checkout / "docs").glob("*.md")):
        shown = anonymous.get(f"/docs/{page.name}").text
        for link in re.findall(r'(?:href|src)="(?!https?:)([^"#]+)', shown):
            with anonymous.get(urljoin(f"/docs/{page.name}", link)) as answer:
                assert answer.status_code == 200, (page.name, link)


@pytest.mark.parametrize("name", ["README.md", "..", "%2e%2e/setup.cfg", "examples/nothing.py"])
def test_only_pages_of_the_documentation_are_served(anonymous, name):
    answer = anonymous.get(f"/docs/{name}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")


def test_an_operator_can_close_the_documentation(database_url):
    app = create_app(replace(config(database_url), docs=False))
    for path in ("/", "/docs", "/docs/guide.md", "/docs/assets/page.js", "/openapi.json"):
        answer = app.test_client().get(path)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
        assert answer.json["detail"] == "Nothing is at this path."
    assert app.test_client().get("/livez").status_code == 200
    with app.app_context():
        db.engine.dispose()


def test_the_address_without_a_path_leads_to_the_page(anonymous):
    answer = anonymous.get("/", follow_redirects=True)
    assert answer.request.path == "/docs"
    assert "voucherpool" in answer.text


def test_an_unknown_path_says_what_there_is(anonymous):
    answer = anonymous.get("/voucher")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "/docs" in answer.json["detail"]


def test_the_document_says_its_version_its_tags_and_what_each_scope_allows(anonymous):
    document = anonymous.get("/openapi.json").json
    assert document["info"]["version"] == version("voucherpool")
    assert document["servers"][0]["url"] == "/"
    assert all(tag["description"] for tag in document["tags"])
    told = document["components"]["securitySchemes"]["apiKey"]["description"]
    assert all(f"`{scope}`" in told for scope in apikeys.scopes)
    for operations in document["paths"].values():
        assert all(operation["description"] for operation in operations.values())


def test_the_document_is_kept_by_caches_which_ask_whether_it_is_the_same(server):
    def get(etag=""):
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=most_seconds)) as connection:
            connection.request("GET", "/openapi.json", headers={"If-None-Match": etag})
            answer = connection.getresponse()
            return answer, answer.read()

    first, document = get()
    etag = first.headers["ETag"]
    assert first.status == 200
    assert json.loads(document)["openapi"] == "3.1.0"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same, nothing = get(known)
        assert (same.status, nothing) == (304, b"")
        for header in ("ETag", "Cache-Control", "X-Content-Type-Options"):
            assert same.headers[header] == first.headers[header]
        assert same.headers["Cache-Control"] == "no-cache"
    changed, again = get('"other"')
    assert (changed.status, again) == (200, document)


def test_the_document_is_serialised_once(own_app, monkeypatch):
    client = own_app.test_client()
    first = client.get("/openapi.json").data
    monkeypatch.setattr("flask.json.dumps", None)
    monkeypatch.setattr("apispec.APISpec.to_dict", None)
    assert client.get("/openapi.json").data == first


def test_the_document_says_that_errors_are_lists_or_nested_by_field(anonymous):
    document = anonymous.get("/openapi.json").json
    errors = document["components"]["schemas"]["Problem"]["properties"]["errors"]
    assert "a list of texts" in errors["description"]
    assert "nested" in errors["description"]


def test_what_may_grow_is_an_open_enum(anonymous):
    schemas = anonymous.get("/openapi.json").json["components"]["schemas"]
    for schema, field, value in (
        ("Problem", "code", "voucher_already_redeemed"),
        ("Problem", "code", "internal_server_error"),
        ("CheckResult", "reason", "voucher_expired"),
        ("RefusedAttempt", "reason", "bound_to_another_customer"),
        ("RedemptionResult", "discount_type", "fixed_amount"),
        ("Offer", "discount_type", "percentage"),
    ):
        known, others = schemas[schema]["properties"][field]["anyOf"]
        assert value in known["enum"]
        assert others == {"type": "string"}
