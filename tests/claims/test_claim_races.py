"""Concurrent claims of one pool."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random

import pytest
from sqlalchemy import text

from tests.builders import ana, ben
from tests.claims.pools import body, fill
from tests.gate import any_voucher, polling_seconds, senders
from tests.patience import most_seconds
from tests.server import at_once
from voucherpool import create_app
from voucherpool.claims import service as claiming
from voucherpool.claims.errors import PoolEmpty
from voucherpool.config.settings import Config
from voucherpool.customers import service as customers
from voucherpool.database import retries
from voucherpool.database.model import db
from voucherpool.database.retries import LostRace
from voucherpool.database.transactions import transaction
from voucherpool.operations import integrity


@pytest.fixture
def wide(app, database_url):
    """Return an application with a database connection for each of 64 threads."""
    wide = create_app(Config(database_url, threads=64))
    yield wide
    with wide.app_context():
        db.engine.dispose()
        breaches = integrity.breaches()
        db.engine.dispose()
    assert not any(breaches.values()), breaches


class Unlucky(Exception):
    """A transaction that fails after its claim."""


def claim_until_empty(app, email, random, failures):
    """Claim by the service until the pool is empty, and return the codes that were acknowledged."""
    codes = []
    with app.app_context(), suppress(PoolEmpty):
        while True:
            with suppress(Unlucky, LostRace), transaction():
                claimed = claiming.claim(email, "KOI")
                if random.random() < failures:
                    raise Unlucky
                codes.append(claimed.code)
    return codes


no_claims = "LOCK TABLE vouchers IN EXCLUSIVE MODE"


@pytest.mark.parametrize(("lock", "polls"), [(any_voucher, True), (no_claims, False)])
@pytest.mark.parametrize("size", [1, 4, 20])
def test_claimers_at_once_empty_a_pool_and_no_two_get_the_same(
    server, make, gate, sql, audit, size, lock, polls
):
    people = [make.customer(f"c{number}@example.org") for number in range(senders)]
    fill(sql, size)
    answers = gate.race(
        lambda number: server.post("/vouchers/claim", body(people[number])), lock, polls=polls
    )
    claimed = min(size, senders)
    outcomes = Counter((status, answer["code"]) for status, answer in answers if status != 201)
    assert outcomes == Counter({(409, "pool_empty"): senders - claimed})
    assert len({answer["code"] for status, answer in answers if status == 201}) == claimed
    assert sql("SELECT count(DISTINCT customer_id) FROM vouchers") == [(claimed,)]
    audit()


@pytest.mark.parametrize("size", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_64_claimers_empty_a_pool_and_no_two_get_the_same(server, make, sql, audit, size):
    people = [make.customer(f"c{number}@example.org") for number in range(64)]
    fill(sql, size)

    def claim_until_refused(number):
        answers = []
        while not answers or answers[-1][0] == 201:
            answers.append(server.post("/vouchers/claim", body(people[number])))
        return answers

    answers = sum(at_once(64, claim_until_refused), [])
    outcomes = Counter((status, answer["code"]) for status, answer in answers if status != 201)
    assert outcomes == {(409, "pool_empty"): 64}
    assert len({answer["code"] for status, answer in answers if status == 201}) == size
    assert len(answers) == size + 64
    audit()


ben_id = f"(SELECT id FROM customers WHERE email = '{ben}')"
changes = {
    "claimed": f"customer_id = {ben_id}, claimed_at = now()",
    "used once": "redemption_count = 1 FROM used",
    "held": "holds = jsonb_build_object('h', jsonb_build_object("
    f"'customer', {ben_id}, 'until', extract(epoch FROM now()) + 60))",
    "disabled": "disabled_at = now()",
    "expired": "expires_at = now()",
}
use = f"""
    INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type)
    SELECT code_key, {ben_id}, offer_id, 10, 'percentage' FROM vouchers RETURNING id"""


@pytest.mark.parametrize("change", changes)
def test_what_the_last_voucher_becomes_while_claimers_wait_for_it_leaves_them_nothing(
    server, make, gate, sql, change
):
    make.customer(ben)
    make.customer()
    fill(sql, 1)
    sql("UPDATE vouchers SET max_redemptions = 3")
    changed = f"UPDATE vouchers SET {changes[change]}"
    if change == "used once":
        changed = f"WITH used AS ({use}) {changed}"
    answers = gate.race(lambda _: server.post("/vouchers/claim", body()), changed, polls=True)
    assert {answer["code"] for _, answer in answers} == {"pool_empty"}


def test_a_use_that_a_claim_does_not_see_in_the_ledger_yet_counts(client, make, sql):
    """It began before the use was committed, so PostgreSQL shows it the voucher's new row alone."""
    make.customer()
    fill(sql, 1)
    sql("UPDATE vouchers SET max_redemptions = 3, redemption_count = 1")
    assert client.post("/vouchers/claim", json=body()).json["code"] == "pool_empty"


@pytest.mark.parametrize("size", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_no_voucher_is_lost_when_every_third_claim_rolls_back(wide, make, sql, size):
    # Each has a customer of its own: claims of the same one wait for each other.
    people = [make.customer(f"c{number}@example.org") for number in range(64)]
    fill(sql, size)
    claimed = at_once(64, lambda seed: claim_until_empty(wide, people[seed], Random(seed), 1 / 3))  # noqa: S311
    codes = sum(claimed, [])
    assert len(codes) == len(set(codes)) == size
    assert sql("SELECT count(claimed_at) FROM vouchers") == [(size,)]


@pytest.mark.one_machine("a cluster takes one of the first 64, and waits if it is locked")
def test_claimers_pass_what_others_have_locked(wide, client, make, sql):
    make.customer()
    fill(sql, 3)
    first, second, _ = sql("SELECT code, code_key FROM vouchers ORDER BY expires_at")
    with ThreadPoolExecutor(1) as pool, wide.app_context(), transaction():
        lock = text("SELECT FROM vouchers WHERE code_key = :key FOR UPDATE")
        db.session.execute(lock, {"key": first.code_key})
        answer = pool.submit(client.post, "/vouchers/claim", json=body()).result(most_seconds)
    assert answer.json["code"] == second.code


@pytest.mark.parametrize(("holder", "status"), [("commits", 409), ("rolls back", 201)])
def test_the_last_voucher_is_waited_for_until_its_holder_has_decided(
    wide, client, make, sql, monkeypatch, holder, status
):
    monkeypatch.setattr(retries, "most_attempts", 1000)
    make.customer()
    fill(sql, 1)
    with ThreadPoolExecutor(1) as pool, wide.app_context():
        with suppress(Unlucky), transaction():
            db.session.execute(text("UPDATE vouchers SET disabled_at = now()"))
            waiting = pool.submit(client.post, "/vouchers/claim", json=body())
            with pytest.raises(TimeoutError):
                waiting.result(polling_seconds)
            if holder == "rolls back":
                raise Unlucky
        answer = waiting.result()
    assert answer.status_code == status
    assert answer.json["code"] == ("pool_empty" if status == 409 else answer.json["code"])


@pytest.mark.parametrize(
    ("lock", "polls"), [(any_voucher, True), ("LOCK TABLE claims IN SHARE MODE", False)]
)
def test_twins_of_a_claim_ref_get_one_voucher_and_one_answer(server, make, gate, sql, lock, polls):
    make.customer()
    fill(sql, 20)
    body_of_all = body(claim_ref="c-1")
    answers = gate.race(lambda _: server.send("/vouchers/claim", body_of_all), lock, polls=polls)
    assert {status for status, _ in answers} == {201}
    assert len({answer for _, answer in answers}) == 1
    assert sql("SELECT count(claimed_at) FROM vouchers") == [(1,)]


def test_of_two_customers_with_a_claim_ref_one_gets_a_voucher(server, make, gate, sql):
    people = make.customer(), make.customer(ben)
    fill(sql, 20)
    answers = gate.race(
        lambda number: server.post("/vouchers/claim", body(people[number % 2], claim_ref="c-1")),
        polls=True,
    )
    outcomes = Counter(status if status == 201 else answer["code"] for status, answer in answers)
    assert outcomes == Counter({201: 5, "claim_mismatch": 5})
    assert sql("SELECT count(claimed_at) FROM vouchers") == [(1,)]


@pytest.mark.one_machine("a cluster takes one of the first 64")
def test_a_twin_takes_over_when_the_first_rolls_back(wide, make, gate, sql):
    make.customer()
    fill(sql, 2)
    with ThreadPoolExecutor(1) as pool, wide.app_context():
        with suppress(Unlucky), transaction():
            first = claiming.claim(ana, "KOI", "c-1")
            twin = pool.submit(claim_by_ref, wide)
            gate.until_waiting(1)
            raise Unlucky
        assert twin.result().code != first.code  # which was locked when the twin looked
    assert sql("SELECT count(claimed_at) FROM vouchers") == [(1,)]


def test_who_is_erased_while_a_claim_waits_is_unknown(wide, client, make, gate, sql):
    make.customer()
    make.customer(ben)
    fill(sql, 2)
    with ThreadPoolExecutor(1) as pool, wide.app_context():
        with transaction():
            claiming.claim(ben, "KOI", "c-1")
            waiting = pool.submit(client.post, "/vouchers/claim", json=body(claim_ref="c-1"))
            gate.until_waiting(1)
            customers.make_anonymous(1)
        answer = waiting.result()
    assert (answer.status_code, answer.json["code"]) == (404, "customer_not_found")


def claim_by_ref(app):
    with app.app_context(), transaction():
        return claiming.claim(ana, "KOI", "c-1")


@pytest.mark.parametrize("with_refs", [False, True])
def test_of_many_claims_at_once_a_customer_gets_as_many_as_the_offer_allows(
    server, make, sql, audit, with_refs
):
    fill(sql, 60)
    sql("UPDATE offers SET max_claims_per_customer = 3")
    people = [make.customer(f"c{number}@example.org") for number in range(2)]

    def call(number):
        ref = {"claim_ref": f"c-{number // 2}"} if with_refs else {}
        return server.post("/vouchers/claim", body(people[number % 2], **ref))

    answers = at_once(24, call)
    codes = {answer["code"] for status, answer in answers if status == 201}
    counts = sql("SELECT claimed FROM claim_counts")
    assert len(codes) == sum(row.claimed for row in counts)
    if not with_refs:
        assert [row.claimed for row in counts] == [3, 3]
    assert all(row.claimed <= 3 for row in counts)
    audit()
