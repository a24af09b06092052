"""The migrations to the lean core, on databases that the release before it has filled."""

from uuid import UUID

import flask_migrate
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from tests import earlier
from tests.builders import in_days
from tests.earlier import run
from tests.shop import open_shop
from voucherpool.database.model import db
from voucherpool.operations import integrity
from voucherpool.vouchers import limits

pytestmark = pytest.mark.one_machine("is about the schema before any distribution")

amounts = ("discounted", "given_back")


@pytest.fixture(autouse=True)
def context(own_app):
    with own_app.app_context():
        yield


@pytest.fixture
def client(own_app):
    """Return a function that makes a client of the upgraded service."""

    def make():
        own_app.testing = True
        return open_shop(own_app)

    return make


def upgrade(revision="head"):
    db.session.remove()
    flask_migrate.upgrade(revision=revision)


def breaches():
    found = integrity.breaches()
    db.session.remove()
    return {rule: number for rule, number in found.items() if number}


def counted_limits():
    """Return how often each customer has redeemed each offer, as the service counts it."""
    of_all = run("SELECT offers.id, customers.id FROM offers, customers ORDER BY 1, 2")
    counts = [
        (*ids, limits.count.one_or_none({"offer_id": ids[0], "customer_id": ids[1]})[0])
        for ids in of_all
    ]
    return [row for row in counts if row[2]]


def open_holds():
    """Return the holds; the migration leaves open ones alone."""
    return run(
        "SELECT code_key, hold.id, (terms->>'customer')::bigint, (terms->>'until')::numeric"
        " FROM vouchers, jsonb_each(holds) AS hold(id, terms) ORDER BY 1, 2"
    )


def statistics(client, offer_id):
    answer = client.get(f"/offers/{offer_id}/stats?from=2000-01-01&to=2100-01-01")
    return {name: value for name, value in answer.json.items() if name not in amounts}


@pytest.mark.parametrize("revision", ["0008", "0011"])
def test_a_filled_database_says_the_same_afterwards(revision, client):
    earlier.build(revision)
    figures = {offer_id: earlier.statistics(offer_id) for offer_id in (1, 2)}
    before = earlier.limits(), earlier.open_holds()
    upgrade()
    assert breaches() == {}
    assert (counted_limits(), open_holds()) == before
    assert [row[0] for row in before[1]] == ["HE1D0PEN"]
    made = client()
    for offer_id, told in figures.items():
        assert statistics(made, offer_id) == told
    assert min(figures[1]["reversed"], figures[2]["expired"], figures[1]["claimed"]) > 0
    insist_on_the_amounts_of_the_rows(made)


def insist_on_the_amounts_of_the_rows(client):
    answer = client.get("/offers/2/stats").json
    [(discounted, given_back)] = run(
        "SELECT sum(discount_amount), sum(discount_amount) FILTER (WHERE reversed_at IS NOT NULL)"
        " FROM (SELECT offer_id, discount_amount, reversed_at FROM redemptions UNION ALL"
        " SELECT offer_id, discount_amount, reversed_at FROM archived_redemptions) AS ledger"
        " WHERE offer_id = 2"
    )
    assert answer["discounted"] == [{"currency": "EUR", "amount": discounted}]
    assert answer["given_back"] == [{"currency": "EUR", "amount": given_back}]


def test_what_was_held_limited_and_claimed_stays_so(client):
    earlier.build("0011")
    upgrade()
    made = client()

    def ask(path, **body):
        answer = made.post(f"/vouchers/{path}", json=body)
        return answer.status_code, answer.json.get("code", answer.json.get("reason"))

    run("UPDATE vouchers SET max_redemptions = 1 WHERE code_key LIKE 'HE1D%'")
    for code, expected in {
        "HE1D-0PEN": "voucher_held",
        "HE1D-0VER": None,
        "HE1D-ERASED": None,
    }.items():
        assert ask("check", code=code, email="c3@example.org") == (200, expected)
    assert ask("validate", code="HE1D0PEN", email="c1@example.org")[0] == 201
    assert ask("validate", code="C1A1MED", email="c1@example.org") == (201, None)
    generated = {"offer_name": "KOI", "expiry": in_days(9), "discount": 10}
    code = ask("generate", email="c3@example.org", **generated)[1]
    refused = ask("validate", code=code, email="c3@example.org")
    assert refused == (409, "customer_limit_reached")  # the purge knows 12
    claims = {"hot": (1, 201, "CLAIMED"), "archived": (2, 201, "AC00002")}
    for ref, (customer, status, shown) in claims.items():
        body = {"email": f"c{customer}@example.org", "offer_name": "KOI", "claim_ref": ref}
        assert ask("claim", **body) == (status, shown)
    body = {"email": "c3@example.org", "offer_name": "KOI", "claim_ref": "purged"}
    assert ask("claim", **body) == (404, "voucher_not_found")
    assert breaches() == {}


def test_what_was_redeemed_has_left_the_pool(client):
    earlier.build("0011")
    run("UPDATE vouchers SET customer_id = NULL WHERE code_key BETWEEN '00001' AND '00020'")
    upgrade()
    marked = run("SELECT code_key FROM vouchers WHERE was_redeemed ORDER BY 1")
    given_back = [("00010",), ("00020",)]
    assert marked == [*given_back, ("MANY",)]
    flask_migrate.downgrade(revision="0017")
    upgrade()
    assert run("SELECT code_key FROM vouchers WHERE was_redeemed ORDER BY 1") == marked


def test_taken_back_the_books_are_as_before_and_up_again_too(client):
    earlier.build("0011")
    asked = (
        *("SELECT * FROM purged_redemptions ORDER BY 1, 2", "SELECT * FROM claims ORDER BY 2"),
        "SELECT sum(issued), sum(claimed), sum(redeemed), sum(reversed), sum(used_up), sum(expired)"
        " FROM purged_vouchers",
        "SELECT code_key, other_holds_count(holds, 3) FROM vouchers WHERE holds IS NOT NULL"
        " AND other_holds_count(holds, 3) > 0",
    )

    def told():
        books = [earlier.statistics(1), earlier.statistics(2), earlier.limits()]
        return [*books, earlier.open_holds(), *map(run, asked)]

    before = told()
    upgrade()
    flask_migrate.downgrade(revision="0011")
    assert told() == before
    upgrade()
    assert breaches() == {}
    assert statistics(client(), 1) == before[0]


def test_what_was_purged_meanwhile_is_known_when_taken_back():
    earlier.build("0011")
    before = earlier.statistics(1), earlier.statistics(2), earlier.limits()
    upgrade()
    run("DROP TABLE archived_vouchers_2026_05, archived_redemptions_2026_05")
    flask_migrate.downgrade(revision="0011")
    assert (earlier.statistics(1), earlier.statistics(2), earlier.limits()) == before
    assert run("SELECT claim_ref FROM claims WHERE code_key IS NULL ORDER BY 1") == [
        ("archived",),
        ("purged",),
    ]


as_before_0012 = """
    INSERT INTO redemptions (code_key, customer_id, discount, order_ref)
    VALUES ('HE1D0VER', 1, 5, 'meanwhile');
    UPDATE vouchers SET redemption_count = redemption_count + 1 WHERE code_key = 'HE1D0VER';
    UPDATE customer_redemptions SET redemption_count = redemption_count + 1
    WHERE offer_id = 2 AND customer_id = 1;
    INSERT INTO offer_figures (offer_id, day, slot, redeemed)
    VALUES (2, (now() AT TIME ZONE 'UTC')::date, 9, 1);
    UPDATE archived_redemptions SET offer_id = NULL, discount_type = NULL, currency = NULL
    WHERE code_key = 'AC00001'"""


def test_the_earlier_release_goes_on_writing_until_the_last_revision(client):
    earlier.build("0011")
    upgrade("0012")
    assert run("SELECT count(*) FROM redemptions WHERE offer_id IS NULL") == [(0,)]
    run(as_before_0012)
    told = earlier.statistics(2)
    upgrade()
    row = run(
        "SELECT offer_id, discount_type, currency FROM redemptions WHERE order_ref = :o",
        o="meanwhile",
    )
    assert row == [(2, "fixed_amount", "EUR")]
    assert (breaches(), statistics(client(), 2)) == ({}, told)


def test_filling_the_ledger_waits_for_no_row_that_is_locked(own_app):
    earlier.build("0011")
    upgrade("0012")
    run("UPDATE redemptions SET offer_id = NULL WHERE code_key < '00009'")
    scripts = ScriptDirectory.from_config(own_app.extensions["migrate"].migrate.get_config())
    fill_some = scripts.get_revision("0012").module.fill_some
    with db.engine.connect() as shop:
        shop.execute(text("BEGIN"))
        shop.execute(text("SELECT FROM redemptions WHERE code_key = '00001' FOR UPDATE"))
        run(
            fill_some.format(redemptions="redemptions", vouchers="vouchers"),
            last=UUID(int=0),
            rows=9999,
        )
        assert run("SELECT code_key FROM redemptions WHERE offer_id IS NULL") == [("00001",)]
        shop.execute(text("ROLLBACK"))
    upgrade()
    assert breaches() == {}


def test_the_first_revision_can_be_run_again_after_a_break(client):
    earlier.build("0011")
    told = earlier.statistics(2)
    run("CREATE VIEW offers_limited_idx AS SELECT 1")
    with pytest.raises(ProgrammingError, match="offers_limited_idx"):
        flask_migrate.upgrade(revision="0012")
    run("DROP VIEW offers_limited_idx")
    upgrade()
    assert (breaches(), statistics(client(), 2)) == ({}, told)


def test_the_last_revision_rewrites_no_table():
    earlier.build("0011")
    flask_migrate.upgrade(revision="0012")
    files = (
        "SELECT relname, pg_relation_filenode(oid) FROM pg_class"
        " WHERE relkind = 'r' AND relname ~ '^(archived_)?(vouchers|redemptions)' ORDER BY 1"
    )
    before = run(files)
    assert len(before) == 6
    upgrade()
    assert run(files) == before
