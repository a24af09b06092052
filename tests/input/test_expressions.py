"""No text, however long and nasty, keeps a regular expression of the package busy."""

import ast
import importlib
import pkgutil
import re
from itertools import product

import pytest

import voucherpool
from tests.stopwatch import is_busy, most_passes, stopwatch, usual_pass_seconds
from voucherpool.config.settings import checkout
from voucherpool.database import statements
from voucherpool.http import authentication
from voucherpool.input import formats
from voucherpool.input.fields import Email
from voucherpool.observability import logs
from voucherpool.readiness import reachability
from voucherpool.vouchers.schemas import VanityCode

# Of those that search, the one that does the most: it finds all matches, and copies the rest.
worst = {"fullmatch", "sub"}
methods = {"fullmatch", "match", "search", "sub", "findall", "finditer", "split"}

# An expression meets texts of up to 1 MiB, unless something measures them before.
longest = {
    formats.line.pattern: Email().longest,
    formats.mailbox.pattern: Email().longest,
    formats.issuable_code.pattern: VanityCode().longest,
    formats.code_prefix.pattern: 32,
    formats.code_pattern.pattern: 64,
    "#+": 64,  # in the pattern of a batch
    logs.redaction.pattern: logs.longest_message + 2,
    statements.placeholder.pattern: 2**17,  # in a statement
    reachability.may_pass.pattern: 2**17,  # in words of PostgreSQL
    r"(?<!^)(?=[A-Z])": 100,  # in the name of a class
    authentication.forwarding_headers.pattern: 8190,  # gunicorn's limit of a header
    r"[^a-z]+": 100,  # in HTTP's name of a status
}


def uses():
    """Yield each use of a method that an expression has: of what, the method, the arguments."""
    named = re.compile(rf"\.({'|'.join(methods)})\b")
    texts = (file.read_text() for file in (checkout / "voucherpool").rglob("*.py"))
    for text in filter(named.search, texts):  # reading all as Python takes seconds
        for node in ast.walk(ast.parse(text)):
            called = node.func if isinstance(node, ast.Call) else node
            if getattr(called, "attr", None) in methods:
                yield ast.unparse(called.value), called.attr, getattr(node, "args", None)


def expressions():
    """Yield each expression of the package, a method by which it is used, and the longest text."""
    used = list(uses())
    found = {
        (re.compile(ast.literal_eval(arguments[0])), method)
        for owner, method, arguments in used
        if owner == "re" and arguments
    }
    for module in pkgutil.walk_packages(voucherpool.__path__, "voucherpool."):
        names = vars(importlib.import_module(module.name))
        expressions = {name: it for name, it in names.items() if isinstance(it, re.Pattern)}
        for name, expression in expressions.items():
            own = {method for owner, method, _ in used if owner.rpartition(".")[2] == name}
            found |= {(expression, method) for method in own or worst}
    for expression, method in sorted(found, key=lambda pair: (pair[0].pattern, pair[1])):
        yield expression, method, longest.get(expression.pattern, 2**20)


def families(expression):
    """Yield begin, middle and end of texts that repeat what an expression looks for, or not."""
    source = re.sub(r"\\(u[0-9a-f]{4}|x[0-9a-f]{2}|[a-z])", "", expression.pattern)
    parts = sorted({*re.findall(r"</?\w+>|\w{2,}|\W", source), *"aA1 \0é"})
    pairs = product(parts, parts)
    beginnings = [*product(("", *parts), parts), *(("", one + other) for one, other in pairs)]
    return ((*beginning, end) for beginning, end in product(beginnings, ("", "\0", "a")))


def use(expression, method, family, length):
    """Return a call that uses the expression on a text of the family."""
    begin, middle, end = family
    text = begin + middle * ((length - len(begin + end)) // len(middle)) + end
    arguments = ("", text) if method == "sub" else (text,)
    return lambda: getattr(expression, method)(*arguments)


def slowest(expression, method, length):
    """Return the slowest families, or the first that takes too long."""
    measured, most = [], most_passes * usual_pass_seconds()
    with stopwatch() as cpu_seconds:
        for family in families(expression):
            measured.append((cpu_seconds(use(expression, method, family, length), most), family))
            if measured[-1][0] >= most:
                return [family]
    return [family for _, family in sorted(measured)[-5:]]


@pytest.mark.parametrize(("expression", "method", "longest"), list(expressions()))
def test_the_worst_text_keeps_no_expression_busy(expression, method, longest):
    for family in slowest(expression, method, min(longest, 512)):
        assert not is_busy(use(expression, method, family, longest)), family
