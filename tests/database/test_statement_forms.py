"""Statements that name a code, in forms that a distributed PostgreSQL runs, too.

Each form that is refused here was refused by Citus 13.2. Exempt are bulk work, the archive, and the
release of a hold, which knows no code.
"""

import gc
import importlib
import pkgutil
import re
from functools import cache

import pytest
from pglast import ast, enums, parse_sql
from sqlalchemy import Engine, event

import voucherpool
from tests.builders import ana, in_days
from voucherpool.database.statements import Statement
from voucherpool.operations.distributing import managed, spread

keys = {"vouchers": "code_key", "redemptions": "code_key", "idempotency_keys": "key"}
names_no_code = {"claim", "record_issued", "record_each", "record_reminders"}
"""They take any voucher of a pool, or many vouchers."""

elsewhere = {*managed, *(table for table, column in spread.items() if column != "code_key")}
"""The tables that are not on the machine of a voucher."""

writes = ast.UpdateStmt | ast.DeleteStmt


def below(node, *, subqueries=True):
    """Yield a node of the parsed statement and all below it."""
    if isinstance(node, tuple):
        for part in node:
            yield from below(part, subqueries=subqueries)
    elif isinstance(node, ast.Node):
        yield node
        for name in node:
            part = getattr(node, name)
            if subqueries or not isinstance(part, ast.SelectStmt | ast.WithClause):
                yield from below(part, subqueries=subqueries)


def among(kind, node, **options):
    return [found for found in below(node, **options) if isinstance(found, kind)]


def mutable(node, volatility, least="s", **options):
    """Return the functions below the node whose result may change, by PostgreSQL's catalog."""
    calls = [call.funcname[-1].sval for call in among(ast.FuncCall, node, **options)]
    found = [name for name in calls if volatility.get(name, "v") >= least]
    if least == "s" and among(ast.SQLValueFunction, node, **options):
        found.append("current_timestamp")
    return found


def conjuncts(condition):
    """Return the conditions that must all hold."""
    if isinstance(condition, ast.BoolExpr) and condition.boolop == enums.BoolExprType.AND_EXPR:
        return [part for argument in condition.args for part in conjuncts(argument)]
    return [condition] if condition else []


def names_key(condition, key):
    """Tell whether the condition compares the key column with something that is given."""
    columns = [column.fields[-1] for column in among(ast.ColumnRef, condition, subqueries=False)]
    is_key = any(isinstance(field, ast.String) and field.sval == key for field in columns)
    return is_key and bool(among(ast.ParamRef, condition, subqueries=False))


def is_equality(condition):
    given = getattr(condition, "rexpr", None)
    given = given.arg if isinstance(given, ast.TypeCast) else given
    return (
        isinstance(condition, ast.A_Expr)
        and condition.kind == enums.A_Expr_Kind.AEXPR_OP
        and condition.name[-1].sval == "="
        and isinstance(condition.lexpr, ast.ColumnRef)
        and isinstance(given, ast.ParamRef)
    )


def conditions(query):
    """Yield what a query asks of its rows, in WHERE and in its joins."""
    yield from conjuncts(query.whereClause)
    for join in among(ast.JoinExpr, getattr(query, "fromClause", None), subqueries=False):
        yield from conjuncts(join.quals)


def faults_of_change(change, volatility):
    """Yield what a distributed PostgreSQL refuses in an UPDATE."""
    for name in mutable(change, volatility, least="v"):
        yield f"{name}, which is volatile"
    for choice in among(ast.CaseExpr | ast.CoalesceExpr, change):
        for name in mutable(choice, volatility):
            yield f"{name} inside CASE or COALESCE"
    for call in among(ast.FuncCall, change, subqueries=False):
        if mutable(call, volatility) and among(ast.ColumnRef, call):
            yield f"{call.funcname[-1].sval} of a column, outside of a subquery"
    for name in mutable(change.returningClause, volatility, subqueries=False):
        yield f"{name} in RETURNING"
    for cast in among(ast.TypeCast, change, subqueries=False):
        to = cast.typeName.names[-1].sval
        if to in ("timestamptz", "date", "text") and among(ast.ColumnRef, cast.arg):
            yield f"a cast of a column to {to}, outside of a subquery"


def names_of_tables(query):
    return {table.relname for table in among(ast.RangeVar, query.fromClause, subqueries=False)}


def faults(sql, volatility):
    """Return what is wrong with a statement that names a code; psycopg2's parameters are given."""
    sql = re.sub(r"%\(\w+\)s", "$1", sql).replace("%%", "%")
    tree = parse_sql(sql)
    found = []
    for change in among(ast.UpdateStmt, tree):
        found += faults_of_change(change, volatility)
    for insert in among(ast.InsertStmt, tree):
        found += [f"{name} in DO UPDATE" for name in mutable(insert.onConflictClause, volatility)]
    found += ["CASE of an operand" for case in among(ast.CaseExpr, tree) if case.arg]
    for query in among(ast.SelectStmt, tree):
        if not query.targetList and names_of_tables(query) & elsewhere:
            found.append("no column of a table of another machine")
    for query in among(ast.SelectStmt | writes, tree):
        named = [
            part for part in conditions(query) for key in keys.values() if names_key(part, key)
        ]
        found += ["a code that is not named by an equality"] * (not all(map(is_equality, named)))
        if isinstance(query, writes) and query.relation.relname in keys and not named:
            found.append("a write that names no code")
    return found


def concerns(sql):
    """Tell whether a statement is about the tables, and not about the archive."""
    words = set(re.findall(r"\w+", sql))
    return bool(words & (elsewhere | {*keys, "customers"})) and not any(
        word.startswith("archived_") for word in words
    )


@cache
def prepared():
    """Return all prepared statements by name."""
    for module in pkgutil.walk_packages(voucherpool.__path__, "voucherpool."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.unfreeze()  # what the imports made is otherwise not among the objects
    found = (thing for thing in gc.get_objects() if isinstance(thing, Statement))
    return {statement.name: statement.sql for statement in found if concerns(statement.sql)}


@pytest.fixture
def volatility(sql):
    """Return of each function the worst that PostgreSQL's catalog says: i, s or v."""
    return dict(sql("SELECT proname, max(provolatile::text) FROM pg_proc GROUP BY 1"))


@pytest.mark.parametrize("name", sorted(set(prepared()) - set(names_no_code)))
def test_a_prepared_statement_has_a_form_that_a_cluster_runs(name, volatility):
    assert faults(prepared()[name], volatility) == []


@pytest.fixture
def sent(app):
    """Return the list of statements that SQLAlchemy sends from now on."""
    statements = []

    def note(connection, cursor, statement, *_):
        statements.append(statement.removeprefix("BEGIN;").split(";")[0])

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


def send_one_of_each(client, make):
    """Send each kind of request that names a code, by its ways."""
    make.customer()

    def post(path, key=None, **body):
        headers = {"Idempotency-Key": key} if key else {}
        answer = client.post(path, json=body, headers=headers)
        assert answer.status_code < 300, (path, answer.json)
        return answer.json

    terms = {"offer_name": "KOI", "discount": 10, "expiry": in_days(9)}
    this = {"code": post("/vouchers/generate", key="g", email=ana, **terms)["code"]}
    mine = {**this, "email": ana}
    for path in ("check", "hold"):
        post(f"/vouchers/{path}", **mine)
    redeemed = post("/vouchers/validate", key="v", order_ref="o", **mine)
    post("/vouchers/validate", order_ref="o", **mine)
    post(f"/redemptions/{redeemed['redemption_id']}/reverse", key="r")
    for path in ("lookup", "disable", "disable", "enable"):
        post(f"/vouchers/{path}", **this)
    post("/vouchers/validate", order_ref="p", **mine)
    post("/redemptions/reverse", order_ref="p")
    client.post("/vouchers/check", json={"code": "unknown", "email": ana})


def test_what_requests_send_besides_has_such_a_form(client, make, sent, volatility):
    send_one_of_each(client, make)
    besides = {statement for statement in sent if concerns(statement)}
    assert any(re.search("FROM vouchers\\s+WHERE.*FOR UPDATE", one, re.S) for one in besides)
    assert any(one.startswith("UPDATE vouchers") for one in besides)
    for statement in besides:
        if not statement.startswith("EXECUTE"):
            assert faults(statement, volatility) == [], statement


by_code = "FROM offers WHERE vouchers.code_key = $1"
refused = {
    f"UPDATE vouchers SET used_at = CASE WHEN true THEN now() END {by_code}": "now inside CASE",
    f"UPDATE vouchers SET used_at = coalesce(used_at, now()) {by_code}": "now inside CASE",
    f"UPDATE vouchers SET used_at = coalesce(used_at, current_timestamp) {by_code}": "current_",
    f"UPDATE vouchers SET code = gen_random_uuid() {by_code}": "gen_random_uuid, which is volat",
    f"UPDATE vouchers SET holds = (SELECT clock_timestamp()) {by_code}": "clock_timestamp, which",
    f"UPDATE vouchers SET holds = jsonb_build_object('c', customer_id) {by_code}": "of a column",
    f"UPDATE vouchers SET used_at = (holds->>'x')::timestamptz {by_code}": "a cast of a column",
    "UPDATE vouchers SET used_at = NULL WHERE code_key = $1 OR code_key = $2": "not named by",
    "UPDATE vouchers SET used_at = NULL WHERE code_key = ANY($1)": "not named by",
    "SELECT FROM redemptions WHERE code_key = $1 OR order_ref = $2": "not named by",
    "UPDATE redemptions SET reversed_at = now() WHERE id = $1": "names no code",
    "SELECT CASE code WHEN $1 THEN 1 END FROM vouchers": "CASE of an operand",
    "INSERT INTO events SELECT $1 WHERE EXISTS (SELECT FROM webhooks)": "no column of a table",
    "SELECT EXISTS (SELECT FROM offer_budgets) FROM customers": "no column of a table",
    "UPDATE changes SET page = 1 RETURNING coalesce(started_at = now(), false)": "in RETURNING",
    "INSERT INTO idempotency_keys VALUES ($1) ON CONFLICT (key) DO UPDATE SET used_at = now()": (
        "now in DO UPDATE"
    ),
}


@pytest.mark.parametrize("statement", refused)
def test_the_forms_that_a_cluster_refuses_are_seen(statement, volatility):
    assert refused[statement] in str(faults(statement, volatility))
