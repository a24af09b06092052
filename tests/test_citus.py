"""docs/citus.sql, as far as it can be tried without Citus: by its rules, and against PostgreSQL."""

import re

import pytest
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, UniqueConstraint, text

from voucherpool.config import checkout
from voucherpool.database.model import db

script = (checkout / "docs" / "citus.sql").read_text()
placed = re.findall(r"^(?:SELECT create_\w+_table\('|-- Local: )(\w+)", script, re.M)
reference = set(re.findall(r"create_reference_table\('(\w+)'\)", script))
local = set(re.findall(r"^-- Local: (\w+),", script, re.M))
distributed = {
    table: (column, beside)
    for table, column, beside in re.findall(
        r"create_distributed_table\('(\w+)', '(\w+)', colocate_with => '(\w+)'\)", script
    )
}
# Citus' functions as the file uses them. They refuse a table that is in a foreign key, which the
# file must have dropped.
stand_ins = """
    CREATE FUNCTION insist_on_no_key(placed regclass) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE key name;
    BEGIN
        SELECT conname INTO key FROM pg_constraint
        WHERE contype = 'f' AND placed IN (conrelid, confrelid);
        IF FOUND THEN RAISE 'foreign key % of % is in the way', key, placed; END IF;
    END $$;
    CREATE FUNCTION create_reference_table(regclass)
        RETURNS void LANGUAGE sql RETURN insist_on_no_key($1);
    CREATE FUNCTION create_distributed_table(regclass, text, colocate_with text)
        RETURNS void LANGUAGE sql RETURN insist_on_no_key($1)"""
foreign_keys = text("""
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2""")


@pytest.fixture(scope="module")
def tables(shared_app):
    return db.metadata.tables


def constraints(table, *kinds):
    return [constraint for constraint in table.constraints if isinstance(constraint, kinds)]


def test_every_table_has_one_place(tables):
    assert sorted(placed) == sorted(tables)
    assert reference | local | set(distributed) == set(tables)


def test_what_must_be_unique_names_the_column_that_its_table_is_distributed_by(tables):
    for name, (column, _) in distributed.items():
        unique = constraints(tables[name], PrimaryKeyConstraint, UniqueConstraint)
        unique += [index for index in tables[name].indexes if index.unique]
        for constraint in unique:
            names = [unique_column.name for unique_column in constraint.columns]
            assert not names or column in names, constraint


def test_foreign_keys_lead_to_reference_tables_or_to_the_same_machine(tables):
    for name, table in tables.items():
        for key in constraints(table, ForeignKeyConstraint):
            target = key.referred_table.name
            if target in reference or (name in local and target in local):
                continue
            column, beside = distributed[name]
            assert target == beside, key
            assert [(element.parent.name, element.column.name) for element in key.elements] == [
                (column, distributed[target][0])
            ]


def test_distributed_tables_come_after_those_beside_which_they_are():
    order = list(distributed)
    for name, (_, beside) in distributed.items():
        assert beside == "none" or order.index(beside) < order.index(name)


def test_the_foreign_keys_are_the_same_afterwards(own_app):
    with own_app.app_context(), db.engine.connect() as connection:
        before = connection.execute(foreign_keys).all()
        with connection.connection.cursor() as cursor:
            cursor.execute(stand_ins)
            cursor.execute(script)
        assert connection.execute(foreign_keys).all() == before
