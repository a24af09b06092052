"""Statement: named parameters, typed rows, one preparation per connection."""

from itertools import count
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from sqlalchemy import bindparam, text

from voucherpool.database import statements
from voucherpool.database.model import db
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import transaction
from voucherpool.offers.models import Offer


class Sum(NamedTuple):
    total: int


numbers = count()


def new(sql="SELECT :left + :right AS total", name=None, **types):
    """Make a statement; connections may know it until the end, so each has its own name."""
    types = types or {"left": "bigint", "right": "bigint"}
    named = name or f"tested_{next(numbers)}"
    return Statement(named, Sum, sql, types if isinstance(sql, str) else None)


@pytest.mark.parametrize("values", [{"left": 1}, {"left": 1, "rigth": 2}])
@pytest.mark.parametrize("more", [{}, {"right": 2, "other": 3}])
def test_a_missing_misspelt_or_unknown_parameter_is_an_error(app, values, more):
    add = new()
    with app.app_context(), pytest.raises(TypeError, match="has other parameters: "):
        add.all(values | more)


def test_a_parameter_without_a_type_is_an_error():
    with pytest.raises(TypeError, match="types"):
        new(left="bigint")


def test_a_name_that_another_statement_has_is_an_error():
    new(name="twice")
    with pytest.raises(ValueError, match="another statement has the name twice"):
        new(name="twice")


def test_a_row_with_other_columns_than_its_type_is_an_error(app):
    wrong = new("SELECT :left - :right AS difference")
    with app.app_context(), pytest.raises(TypeError, match="gives the columns"):
        wrong.all({"left": 3, "right": 2})


def test_a_connection_prepares_a_statement_once(app):
    add = new()
    with app.app_context():
        for _ in range(3):
            assert add.one_or_none({"left": 1, "right": 2}) == Sum(3)
        with transaction():
            for _ in range(3):
                add.all({"left": 1, "right": 2})
            prepared = text("SELECT count(*) FROM pg_prepared_statements WHERE name = :name")
            assert db.session.scalar(prepared, {"name": add.name}) == 1


def test_what_looks_like_a_parameter_in_a_text_is_none(app):
    shown = new("""SELECT to_char(:at, 'HH24:MI%') AS total""", at="timestamptz")
    with app.app_context():
        assert shown.one_or_none({"at": "2026-01-02T03:04:05Z"}) == Sum("03:04%")


def test_a_statement_built_from_the_models_names_its_parameters_too(app, make):
    make.voucher(offer="KOI")
    chosen = new(Offer.__table__.select().with_only_columns(Offer.id.label("total")).where(
        Offer.name == bindparam("name")
    ))  # fmt: skip
    with app.app_context():
        assert chosen.one_or_none({"name": "KOI"}) == Sum(1)
        assert chosen.one_or_none({"name": "none"}) is None


def test_a_statement_in_a_transaction_sees_what_the_models_wrote(app):
    offers = new("SELECT count(*) AS total FROM offers WHERE name = :offer_name", offer_name="text")
    with app.app_context(), transaction():
        db.session.add(Offer(name="KOI", discount=5))
        assert offers.one_or_none({"offer_name": "KOI"}) == Sum(1)


def test_a_thread_keeps_its_connection_for_a_minute(app, monkeypatch):
    own = new("SELECT pg_backend_pid() AS total WHERE :is_wanted", is_wanted="boolean")
    with app.app_context():
        first, again = (own.one_or_none({"is_wanted": True}) for _ in range(2))
        assert first == again
        # Only its own clock: by that of the process, the watchdog would take all for frozen.
        later = SimpleNamespace(monotonic=lambda: float("inf"))
        monkeypatch.setattr(statements, "time", later)
        assert own.one_or_none({"is_wanted": True}) != first


def test_a_kept_connection_counts_in_the_pool(app):
    own = new("SELECT 1 AS total WHERE :is_wanted", is_wanted="boolean")
    with app.app_context():
        statements.give_up_kept_connection()
        before = db.engine.pool.checkedout()
        own.all({"is_wanted": True})
        assert db.engine.pool.checkedout() == before + 1
