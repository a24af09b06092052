"""Rules of the house that no linter knows."""

import ast
import re

import pytest

from voucherpool.config import checkout
from voucherpool.http import apikeys

modules = sorted((checkout / "voucherpool").rglob("*.py"))
longest_file, longest_function, largest_room = 250, 40, 18


def test_every_route_names_its_scope(app):
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        assert getattr(view, "required_scope", None) in (*apikeys.scopes, "public"), rule


def test_only_probes_documentation_and_the_link_in_e_mails_are_public(app):
    public = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if app.view_functions[rule.endpoint].required_scope == "public"
    }
    documentation = {"/", "/openapi.json", "/docs", "/docs/assets/<path:name>"}
    assert public == {"/livez", "/readyz", "/unsubscribe/<string:token>", *documentation}


def lines(node):
    return node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("module", modules, ids=str)
def test_files_functions_and_expressions_of_a_module_stay_short(module):
    source = module.read_text()
    assert source.count("\n") <= longest_file
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert lines(node) <= longest_function, node.name
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
            is_text = isinstance(node.value, ast.Constant)
            assert is_text or lines(node) <= longest_function, ast.unparse(node)[:80]


def test_what_an_open_hold_is_stands_in_one_place():
    spelled = [
        module.relative_to(checkout).as_posix()
        for module in modules
        if re.search(
            r"until'\)::numeric\s*>|'until'.*>\s*(extract|now|func\.now)", module.read_text()
        )
    ]
    assert spelled == ["voucherpool/vouchers/models.py"]


def test_the_top_level_and_every_room_can_be_overlooked():
    package = checkout / "voucherpool"
    assert len(list(package.glob("*.py"))) <= 6
    assert len([room for room in package.iterdir() if (room / "__init__.py").exists()]) <= 18
    for room in package.iterdir():
        assert len(list(room.glob("*.py"))) <= largest_room, room


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
