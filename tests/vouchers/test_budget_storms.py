"""Budgets of offers, exact in storms."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from random import Random
from threading import Lock
from time import monotonic

import pytest

from tests.builders import ana, ben
from tests.claims.pools import fill
from tests.server import at_once
from tests.storms import meanwhile, outcomes

most = 100
full = pytest.mark.long
refused = "offer_budget_exhausted"
used = "SELECT redemption_count, discount_total FROM offer_budgets"
live = """
    SELECT count(*), coalesce(sum(discount_amount), 0) FROM redemptions WHERE reversed_at IS NULL"""


@pytest.fixture
def codes(make, sql):
    """Return the codes of unbound vouchers of an offer of half the price."""
    make.customer()
    make.customer(ben)
    fill(sql, most)
    sql("UPDATE offers SET discount = 50, currency = 'EUR'")
    return [code for (code,) in sql("SELECT code FROM vouchers ORDER BY issue_number")]


@pytest.fixture
def budget(storm, sql):
    """Return a function that gives the offer a budget, for good."""

    def run(**terms):
        status, offer = storm.request("PATCH", "/offers/1", terms)
        assert status == 200, offer
        storm.post("/vouchers/check", {"code": "any", "email": ana})
        sql(
            "UPDATE offer_budgets SET redemption_count = coalesce(redemption_count, 0),"
            " discount_total = coalesce(discount_total, 0), recount_at = NULL"
        )

    return run


class Moments:
    """When each request began and ended, what it asked for, and whether it was refused."""

    def __init__(self):
        self.lock, self.all = Lock(), []

    def redeem(self, server, code, cents):
        """Redeem for so many cents off, every fourth time with a key."""
        key = uuid.uuid4()
        header = {"Idempotency_Key": str(key)} if key.int % 4 == 0 else {}
        order = {"order_amount": str(Decimal(2 * cents) / 100), "currency": "EUR"}
        began = monotonic()
        answer = server.post("/vouchers/redeem", {"code": code, "email": ana} | order, **header)
        with self.lock:
            self.all.append((began, monotonic(), cents, answer[0] != 201))
        return answer

    def unjust(self, budget):
        """Return the refusals that had room, even if all that was under way had been taken."""
        taken = [moment for moment in self.all if not moment[3]]
        return [
            moment
            for moment in self.all
            if moment[3]
            and sum(cents for began, _, cents, _ in taken if began < moment[1]) + moment[2]
            <= budget
        ]


@pytest.mark.parametrize(("callers", "rounds"), [(24, 1), pytest.param(most, 20, marks=full)])
@pytest.mark.parametrize("distinct", [1, pytest.param(most, marks=full)])
def test_random_amounts_never_exceed_the_money_and_no_refusal_had_room(
    storm, codes, budget, sql, distinct, callers, rounds
):
    sql("UPDATE vouchers SET max_redemptions = 1000000 WHERE code = :code", code=codes[0])
    random = Random(28)  # noqa: S311
    for _ in range(rounds):
        budget(max_discount_total=None)
        sql("TRUNCATE redemptions; UPDATE vouchers SET redemption_count = 0, used_at = NULL")
        total = random.randrange(1000, 5000)
        budget(max_discount_total=total / 100)
        asked = [random.randrange(1, 400) for _ in range(callers)]
        moments = Moments()
        answers = at_once(
            callers,
            lambda n: moments.redeem(storm, codes[n % distinct], asked[n]),  # noqa: B023
        )
        assert set(outcomes(answers)) <= {201, refused}
        [(count, amount)] = sql(live)
        assert amount * 100 <= total
        assert sql(used) == [(count, amount)]
        assert moments.unjust(total) == []
        # What was refused is refused still, and what is left is given to the last cent.
        left = total - int(amount * 100)
        assert moments.redeem(storm, codes[0], left + 1)[0] == 409
        assert left == 0 or distinct > 1 or moments.redeem(storm, codes[0], left)[0] == 201


@pytest.mark.parametrize(("callers", "rounds"), [(24, 1), pytest.param(most, 20, marks=full)])
def test_of_many_callers_exactly_as_many_redeem_as_the_budget_allows(
    storm, codes, budget, sql, callers, rounds
):
    for turn in range(1, rounds + 1):
        budget(max_redemptions=3 * turn)
        answers = at_once(
            callers,
            lambda n: storm.post("/vouchers/redeem", {"code": codes[n], "email": ana}),
        )
        assert outcomes(answers) == {201: 3, refused: callers - 3}
        sql("UPDATE vouchers SET max_redemptions = max_redemptions + 1, used_at = NULL")
        assert sql(used) == [(3 * turn, 0)]


@pytest.mark.parametrize("steps", [12, pytest.param(500, marks=full)])
@pytest.mark.parametrize("distinct", [3, pytest.param(most, marks=full)])
def test_a_storm_of_holds_redemptions_and_reversals_ends_with_budget_and_ledger_equal(
    storm, codes, budget, sql, steps, distinct
):
    sql("UPDATE vouchers SET max_redemptions = 1000000")
    budget(max_discount_total=30, max_redemptions=12)
    free, holds = [], []

    def step(random):
        code, order = random.choice(codes[:distinct]), f"order-{random.randrange(20)}"
        amount = {"order_amount": random.randrange(1, 40), "currency": "EUR"}
        mine = {"code": code, "email": random.choice((ana, ben))}
        action = random.randrange(6)
        if action == 0:
            answer = storm.post("/vouchers/hold", mine | amount | {"ttl_seconds": 1})
            holds.extend([answer[1]["hold_id"]] if answer[0] == 201 else [])
        elif action == 1:
            answer = storm.post("/vouchers/release", {"hold_id": random.choice(holds or no_hold)})
        elif action == 2 and free:
            answer = storm.post(f"/redemptions/{free.pop()}/reverse", {})
        elif action == 3:
            answer = storm.post("/redemptions/reverse", {"order_ref": order})
        else:
            ref = {"order_ref": order} if random.random() < 0.5 else {}
            answer = storm.post("/vouchers/redeem", mine | amount | ref)
            free.extend([answer[1]["redemption_id"]] if answer[0] == 201 else [])
        return answer

    def rage(number):
        random = Random(number)  # noqa: S311
        return [step(random) for _ in range(steps)]

    with meanwhile(lambda: sql(used)[0]) as seen:
        answers = outcomes(sum(at_once(16, rage), []))
    known = {200, 201, 204, refused, "voucher_held", "redemption_not_found"}
    assert set(answers) <= known | {"order_mismatch", "redemption_reversed"}
    assert answers[refused] > 0
    assert max(total for _, total in seen) <= 30
    assert max(count for count, _ in seen) <= 12
    assert sql(used) == sql(live)


no_hold = [str(uuid.uuid4())]


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=full)])
def test_a_budget_that_begins_in_a_storm_is_exact_after_it_was_counted_again(
    app, storm, codes, sql, rounds
):
    from tests.vouchers.test_budgets import recount

    sql("UPDATE vouchers SET max_redemptions = 1000000")

    def redeem(number):
        mine = {"code": codes[number % most], "email": ana}
        return storm.post("/vouchers/redeem", mine | {"order_amount": 10, "currency": "EUR"})

    for turn in range(rounds):
        change = {"max_redemptions": 1000 + turn if turn % 2 == 0 else None}
        with ThreadPoolExecutor(9) as pool:
            redeemed = [pool.submit(redeem, number) for number in range(24)]
            changed = pool.submit(partial(storm.request, "PATCH", "/offers/1", change))
            assert changed.result()[0] == 200
            assert {thread.result()[0] for thread in redeemed} == {201}
    storm.request("PATCH", "/offers/1", {"max_redemptions": 100_000})
    sql("UPDATE offer_budgets SET recount_at = now()")
    recount(app)
    assert sql(used) == sql(live)
