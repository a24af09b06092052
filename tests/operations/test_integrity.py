"""`voucherpool audit` names each breach that SQL can still make."""

from contextlib import suppress

import pytest
from sqlalchemy import text

from tests.archive.test_archiving import moves
from tests.builders import ana, ben
from tests.mail import test_recipients as addresses
from voucherpool.archive.moving import summed
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.input.fields import Email
from voucherpool.operations import integrity

hold = "jsonb_build_object('customer', {customer}, 'until', extract(epoch FROM now()) + 900)"


def held_by(first, second):
    return f"""UPDATE vouchers SET holds = jsonb_build_object('a', {hold.format(customer=first)},
        'b', {hold.format(customer=second)}) WHERE used_at IS NULL AND customer_id IS NOT NULL"""


def less(table, column):
    return f"UPDATE {table} SET {column} = {column} - 1 WHERE {column} > 0"


totals = "the archive holds more of an offer and currency than its totals"
uses = "the archive holds more live redemptions of a customer than the totals"
claimed = "a claim's voucher is not of its offer, customer or moment"
issued = "an offer's count of issued vouchers is not their number"
offer = "a redemption is not of its voucher's offer"
terms = "a redemption is not in its offer's kind of discount or currency"
customer = "a redemption is not by the customer to whom its voucher is bound"
refused = "a customer's e-mail would be refused today"
budget = "what is used of an offer's budget is not what its live redemptions took"
count = "a voucher's redemption_count is not its number of live redemptions"

ahead = "a running change has not as many vouchers ahead as its counts say"

breaches = {
    "INSERT INTO changes (offer_id, terms, chosen, dry_run, timezone, state, matched)"
    " SELECT id, '{}', 'all', false, 'UTC', 'running', 1 FROM offers LIMIT 1": ahead,
    "UPDATE vouchers SET redemption_count = 1 WHERE max_redemptions = 3": count,
    "UPDATE redemptions SET reversed_at = now()": count,
    "DELETE FROM redemptions": count,
    "UPDATE archived_vouchers SET redemption_count = 0 WHERE redemption_count = 1": count,
    "UPDATE archived_redemptions SET reversed_at = now() WHERE reversed_at IS NULL": count,
    held_by(1, 2): "a voucher has more redemptions and open holds than it may have",
    held_by(1, 1): "a customer has more than one open hold on a voucher",
    "UPDATE redemptions SET offer_id = 2": offer,
    "UPDATE redemptions SET offer_id = 77": offer,
    "UPDATE archived_redemptions SET offer_id = 2": offer,
    "UPDATE redemptions SET discount_type = 'fixed_amount'": terms,
    "UPDATE offers SET currency = 'EUR'; UPDATE redemptions SET currency = 'JPY'": terms,
    "UPDATE redemptions SET customer_id = 2": customer,
    "UPDATE vouchers SET customer_id = 2 WHERE used_at IS NOT NULL": customer,
    "UPDATE claims SET customer_id = 2": claimed,
    "UPDATE claims SET offer_id = 2": claimed,
    "UPDATE claims SET claimed_at = now()": claimed,
    "UPDATE vouchers SET customer_id = 2 WHERE claimed_at IS NOT NULL": claimed,
    less("offer_counts", "issued"): issued,
    "DELETE FROM offer_counts": issued,
    "DELETE FROM vouchers WHERE used_at IS NULL": issued,
    "UPDATE offer_counts SET claimed = 0": (
        "an offer's count of claimed vouchers is less than their number"
    ),
    **{less("archived_totals", column): totals for column in summed},
    "DELETE FROM archived_totals": totals,
    less("customer_totals", "redemption_count"): uses,
    "DELETE FROM customer_totals": uses,
    "UPDATE customer_totals SET redemption_count = redemption_count + 1": (
        "the archive's totals of an offer and of its customers differ"
    ),
    "UPDATE offer_budgets SET redemption_count = redemption_count + 1": budget,
    "UPDATE offer_budgets SET discount_total = discount_total + 1": budget,
    "INSERT INTO archived_vouchers SELECT * FROM archived_vouchers": (
        "a code has more than one voucher"
    ),
    "DELETE FROM archived_vouchers WHERE used_at IS NOT NULL": (
        "a redemption is not where its voucher is"
    ),
    "UPDATE customers SET email = '=?utf-8?q?vic=40evil=2Eexample=2C?=c@x.example'": refused,
    "UPDATE customers SET email = repeat('a', 255) || email": refused,
}


@pytest.fixture
def books(client, make, sql, app):
    """Fill all tables that the audit reads: what is archived, redeemed, given back and claimed."""
    make.customer(ana), make.customer(ben)
    make.voucher()
    client.redeemed(make.voucher(), order_amount=80)
    client.redeemed(make.voucher(max_redemptions=3), order_amount=80, order_ref="back")
    assert client.post("/redemptions/reverse", json={"order_ref": "back"}).status_code == 200
    make.older(130)
    assert app.test_cli_runner().invoke(args=["vouchers", *moves]).exit_code == 0
    assert client.patch("/offers/1", json={"max_redemptions": 9}).status_code == 200
    make.voucher(offer="other", email=ben, customer_id=None, offer_id=2)
    client.redeemed(make.voucher(), order_amount=80)
    make.voucher()
    make.voucher(max_redemptions=3)
    make.voucher(customer_id=None)
    body = {"email": ana, "offer_name": "KOI", "claim_ref": "c"}
    assert client.post("/vouchers/claim", json=body).status_code == 201
    sql("UPDATE offer_budgets SET recount_at = NULL")  # as after a minute


class Undone(Exception):
    """A transaction that is rolled back."""


def found_after(change):
    """Return the broken rules that the audit finds after a change, which is then undone."""
    with suppress(Undone), transaction():
        assert db.session.execute(text(change)).rowcount, change
        found = {rule for rule, number in integrity.breaches().items() if number}
        raise Undone
    return found


@pytest.mark.usefixtures("books")
def test_the_audit_names_what_sql_breaks(app, subtests):
    with app.app_context():
        assert found_after("SELECT 1") == set()
        for breach, rule in breaches.items():
            with subtests.test(breach):
                assert rule in found_after(breach)


def test_postgresql_reads_the_form_of_an_e_mail_as_python_does(sql):
    letters = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000]
    places = ("{}b@x.example", "a{}b@x.example", "a@x{}y.example", "a@x.example{}")
    emails = [place.format(letter) for place in places for letter in letters]
    emails += [*addresses.refused.values(), *addresses.delivered.values()]
    by_sql = sql(
        "SET LOCAL statement_timeout = 0;"
        " SELECT email, email ~ :form FROM unnest(CAST(:emails AS text[])) AS email",
        form=Email.form.pattern,
        emails=emails,
    )
    wrong = [email for email, is_accepted in by_sql if is_accepted != bool(Email.form.match(email))]
    assert wrong == []


def test_each_rule_of_the_audit_is_broken_once():
    assert set(breaches.values()) == set(integrity.rules)
