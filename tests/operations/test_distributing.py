"""`voucherpool db distribute`: each table gets its place on a Citus cluster."""

import flask_migrate
import pytest
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint, text

from tests import cluster
from tests.builders import Builders
from tests.conftest import config
from tests.patience import patient
from tests.shop import open_shop
from voucherpool import create_app
from voucherpool.database.model import db
from voucherpool.operations import distributing, integrity
from voucherpool.operations.distributing import copied, managed, plain, spread

beside = {name: column for name, column in spread.items() if column == "code_key"}
foreign_keys = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text !~ '[0-9]' ORDER BY 1, 2"""
places = """
    SELECT logicalrelid::text, partmethod, repmodel, partkey, colocationid = (
        SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = 'vouchers'::regclass
    )
    FROM pg_dist_partition WHERE logicalrelid::text !~ '[0-9]' ORDER BY 1"""


@pytest.fixture(scope="module")
def tables(shared_app):
    return db.metadata.tables


def constraints(table, *kinds):
    return [constraint for constraint in table.constraints if isinstance(constraint, kinds)]


def test_every_table_has_one_place(tables):
    assert sorted([*copied, *spread, *managed, *plain]) == sorted([*tables, "alembic_version"])


def test_what_must_be_unique_names_the_column_by_which_its_table_is_spread(tables):
    for name, column in spread.items():
        unique = constraints(tables[name], PrimaryKeyConstraint, UniqueConstraint)
        unique += [index for index in tables[name].indexes if index.unique]
        for constraint in unique:
            names = [unique_column.name for unique_column in constraint.columns]
            assert not names or column in names, constraint


def test_foreign_keys_lead_to_copied_tables_or_stay_on_a_machine(tables):
    for name, table in tables.items():
        for key in constraints(table, ForeignKeyConstraint):
            target = key.referred_table.name
            if target in copied or (name in managed and target in managed):
                continue
            assert {name, target} <= set(beside), key
            assert [(element.parent.name, element.column.name) for element in key.elements] == [
                ("code_key", "code_key")
            ]


@pytest.mark.one_machine("is about a PostgreSQL that is no cluster")
def test_one_postgresql_is_left_alone_and_named_in_one_line(own_app):
    result = own_app.test_cli_runner().invoke(args=["db", "distribute"])
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "Error: This PostgreSQL is no coordinator of a Citus cluster: create the extension citus"
        " and add the workers first (docs/scale.md)."
    ]


@pytest.fixture
def undistributed():
    """Return an application on a database of the cluster that was not distributed yet."""
    with cluster.database("voucherpool_migrated") as url:
        app = create_app(config(patient(url)))
        with app.app_context():
            flask_migrate.upgrade()
            db.session.remove()
        yield app
        with app.app_context():
            db.engine.dispose()


def run(app, statement):
    with app.app_context(), db.engine.connect() as connection:
        return connection.execute(text(statement)).all()


def distribute(app):
    result = app.test_cli_runner().invoke(args=["db", "distribute"])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.mark.cluster
def test_a_filled_database_answers_the_same_afterwards_and_keeps_its_rules(undistributed):
    make = Builders(undistributed)
    codes = [make.voucher(max_redemptions=2) for _ in range(20)]
    shop = open_shop(undistributed)
    for number, code in enumerate(codes):
        shop.redeemed(code, order_ref=f"order-{number}")
    asked = ("/vouchers?email=ana@example.org", "/redemptions?email=ana@example.org", "/offers")
    before = [shop.get(path).json for path in asked]
    keys = run(undistributed, foreign_keys)
    counted = run(undistributed, "SELECT count(*) FROM redemptions")
    assert "vouchers: spread by code_key" in distribute(undistributed)
    assert [shop.get(path).json for path in asked] == before
    assert run(undistributed, foreign_keys) == keys
    assert run(undistributed, "SELECT count(*) FROM redemptions") == counted
    shop.redeemed(codes[0])
    with undistributed.app_context():
        assert not any(integrity.breaches().values())
        assert db.session.scalar(text("SELECT pg_relation_size('vouchers')")) == 0
        db.session.remove()


@pytest.mark.cluster
def test_a_repeat_changes_nothing(own_app):
    before = run(own_app, places)
    assert {row[0] for row in before} == {*copied, *spread, *managed}
    assert distribute(own_app) == ["Every table has its place already."]
    assert run(own_app, places) == before


@pytest.mark.cluster
def test_what_a_kill_interrupts_leaves_the_tables_as_they_were(undistributed, monkeypatch):
    class Killed(BaseException):
        pass

    def stop(name):
        if name == "events":
            raise Killed
        return place(name)

    place = distributing._place
    monkeypatch.setattr(distributing, "_place", stop)
    keys = run(undistributed, foreign_keys)
    with pytest.raises(Killed):
        undistributed.test_cli_runner().invoke(args=["db", "distribute"])
    assert (run(undistributed, places), run(undistributed, foreign_keys)) == ([], keys)
    monkeypatch.undo()
    distribute(undistributed)
