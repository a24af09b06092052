"""Rules of the house that no linter knows."""

import ast

import pytest

from voucherpool.config import checkout
from voucherpool.http import apikeys

modules = sorted((checkout / "voucherpool").rglob("*.py"))
longest_file, longest_function = 250, 40


def test_every_route_names_its_scope(app):
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        assert getattr(view, "required_scope", None) in (*apikeys.scopes, "public"), rule


def test_only_probes_and_documentation_are_public(app):
    public = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if app.view_functions[rule.endpoint].required_scope == "public"
    }
    assert public == {"/livez", "/readyz", "/openapi.json", "/docs", "/docs/assets/<path:name>"}


@pytest.mark.parametrize("module", modules, ids=str)
def test_files_and_functions_stay_short(module):
    source = module.read_text()
    assert source.count("\n") <= longest_file
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < longest_function, node.name


def test_half_of_the_functions_have_at_most_10_lines_and_9_of_10_at_most_25():
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for module in modules
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef)
    )
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 9 // 10] <= 25


def test_no_service_commits():
    for module in modules:
        if module.name != "transactions.py":
            assert ".commit(" not in module.read_text(), module
