"""Rules of the house that no linter knows."""

import re

from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import checkout
from voucherpool.console.users.service import roles

modules = sorted((checkout / "voucherpool").rglob("*.py"))


def test_every_route_names_its_scope(app):
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        assert getattr(view, "scope", None) in (*apikeys.scopes, "public"), rule


def test_only_probes_documentation_and_the_link_in_e_mails_are_public(app):
    public = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if app.view_functions[rule.endpoint].scope == "public"
        and rule.endpoint.partition(".")[0] != "console"
    }
    documentation = {"/", "/openapi.json", "/docs"}
    documentation |= {f"/docs/{folder}<string:name>" for folder in ("", "assets/", "examples/")}
    assert public == {"/livez", "/readyz", "/unsubscribe/<string:token>", *documentation}


def test_every_page_of_the_console_names_the_scope_that_its_user_needs(app):
    pages = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/console")]
    needs = {rule.rule: app.view_functions[rule.endpoint].needs for rule in pages}
    free = {rule for rule, scope in needs.items() if scope == "everybody"}
    assert free == {
        *("/console/sign-in", "/console/password/<string:token>"),
        *("/console/files/<string:name>", "/console/<path:unknown>"),
    }
    assert set(needs.values()) <= {*roles["admin"], "everybody"}


def test_what_an_open_hold_is_stands_in_one_place():
    spelled = [
        module.relative_to(checkout).as_posix()
        for module in modules
        if re.search(
            r"until'\)::numeric\s*>|'until'.*>\s*(extract|now|func\.now)", module.read_text()
        )
    ]
    assert spelled == ["voucherpool/vouchers/models.py"]


def test_no_service_commits():
    for module in modules:
        if module.parent.name != "database":
            assert ".commit(" not in module.read_text(), module
