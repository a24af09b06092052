"""PostgreSQL itself refuses rows that break a rule, however they are written."""

import pytest
from sqlalchemy.exc import IntegrityError

voucher = {
    "code": "'TEST-0001'",
    "code_key": "'TEST0001'",
    "offer_id": "1",
    "customer_id": "1",
    "expires_at": "now() + interval '9 days'",
    "max_redemptions": "2",
    "redemption_count": "0",
}
redemption = {
    "code_key": "'TEST0001'",
    "customer_id": "1",
    "offer_id": "1",
    "discount": "10",
    "discount_type": "'percentage'",
    "order_ref": "'o'",
    "order_amount": "10",
    "discount_amount": "1",
    "redeemed_at": "now()",
}
valid = {"vouchers": voucher, "redemptions": redemption}


def code(spelling, key=None):
    return {"code": f"'{spelling}'", "code_key": f"'{key or spelling}'"}


broken = {
    "vouchers": [
        code(""),
        code("A" * 65),
        code("ABÇD"),
        code("AB!CD"),
        code("AB,CD"),
        code("ABCDL"),
        code("abcd"),
        code("ABCD", "ABCE"),
        code("ABCI", "ABCI"),
        code("AB-CD", "AB-CD"),
        {"code": "NULL"},
        {"offer_id": "NULL"},
        {"offer_id": "77"},
        {"customer_id": "77"},
        {"max_redemptions": "0", "used_at": "now()"},
        {"max_redemptions": "-1", "redemption_count": "-1", "used_at": "now()"},
        {"redemption_count": "-1"},
        {"redemption_count": "3"},
        {"redemption_count": "3", "used_at": "now()"},
        {"redemption_count": "2"},
        {"redemption_count": "1", "used_at": "now()"},
        {"customer_id": "NULL", "claimed_at": "now()"},
        {"expires_at": "'-infinity'"},
        {"expires_at": "NULL"},
        {"frozen_discount": "0"},
        {"frozen_discount": "-1"},
        {"holds": "'{}'"},
        {"holds": "'[]'"},
        {"holds": "'[{}]'"},
        {"holds": "'1'"},
        {"holds": "'null'"},
    ],
    "redemptions": [
        {"code_key": "'UNKN0WN'"},
        {"customer_id": "77"},
        {"customer_id": "NULL"},
        {"offer_id": "NULL"},
        {"discount_type": "NULL"},
        {"order_ref": "''"},
        {"order_ref": "'taken'"},
        {"discount": "0"},
        {"discount": "-1"},
        {"discount": "NULL"},
        {"order_amount": "-1", "discount_amount": "NULL"},
        {"discount_amount": "-1"},
        {"discount_amount": "11"},
        {"discount_amount": "-1", "order_amount": "NULL"},
        {"reversed_at": "'2000-01-01'"},
        {"kind": "'other'"},
        {"kind": "'other'", "customer_id": "NULL"},
    ],
}


def insert(table, columns):
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"


@pytest.fixture
def there(sql, make):
    """Make a valid voucher with a valid redemption, and another redemption of its own order."""
    make.voucher()
    sql(insert("vouchers", voucher))
    for order in ("o", "taken"):
        sql(insert("redemptions", redemption | {"order_ref": f"'{order}'"}))


@pytest.mark.parametrize("table", broken)
def test_no_row_that_breaks_a_rule_can_be_inserted(table, sql, make, subtests):
    make.voucher()
    if table == "redemptions":
        sql(insert("vouchers", voucher))
        sql(insert("redemptions", redemption | {"order_ref": "'taken'"}))
    for columns in broken[table]:
        with subtests.test(columns=columns), pytest.raises(IntegrityError):
            sql(insert(table, valid[table] | columns))
    sql(insert(table, valid[table]))


@pytest.mark.one_machine("a cluster refuses any change of a code")
@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("table", broken)
def test_no_row_can_be_updated_to_break_a_rule(table, sql, subtests):
    sql("DELETE FROM redemptions" if table == "vouchers" else "SELECT")
    where = "order_ref = 'o'" if table == "redemptions" else "code_key = 'TEST0001'"
    for columns in broken[table]:
        changes = ", ".join(f"{column} = {value}" for column, value in columns.items())
        with subtests.test(columns=columns), pytest.raises(IntegrityError):
            sql(f"UPDATE {table} SET {changes} WHERE {where}")


@pytest.mark.one_machine("a cluster refuses any change of a code")
@pytest.mark.usefixtures("there")
def test_a_voucher_that_was_redeemed_cannot_be_deleted_or_renamed(sql):
    for change in ("DELETE FROM vouchers", "UPDATE vouchers SET code = 'NEW0', code_key = 'NEW0'"):
        with pytest.raises(IntegrityError):
            sql(f"{change} WHERE code_key = 'TEST0001'")
