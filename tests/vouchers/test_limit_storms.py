"""Limits per customer, exact in storms."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, product
from random import Random

import pytest

from tests.archive.test_archiving import let_a_month_pass
from tests.builders import ana, ben
from tests.claims.pools import body, fill
from tests.patience import until
from tests.server import at_once
from tests.storms import archivist, meanwhile, outcomes
from voucherpool.vouchers.eligibility import limits

most = 100
full = pytest.mark.long
refused = "customer_limit_reached"

live = f"""
    {limits.lock(offer_id=1, customer_id=1)};
    SELECT (SELECT count(*) FROM redemptions WHERE reversed_at IS NULL)
        + (SELECT coalesce(sum(redemption_count), 0) FROM customer_totals)"""
"""How often the only customer of a test has redeemed its only offer.

The lock keeps the archive from moving what is being counted.
"""


@pytest.fixture
def codes(make, sql):
    """Return the codes of unbound vouchers of one offer, at least one for each caller."""
    make.customer()
    make.customer(ben)
    fill(sql, most)
    return [code for (code,) in sql("SELECT code FROM vouchers ORDER BY issue_number")]


@pytest.fixture
def limit(storm):
    """Return a function that limits the offer by the API."""

    def run(number):
        change = {"max_redemptions_per_customer": number}
        status, offer = storm.request("PATCH", "/offers/1", change)
        assert (status, offer["max_redemptions_per_customer"]) == (200, number)

    return run


@pytest.fixture
def agree(storm, sql):
    """Return a function that compares what list, check and claim say with the customer's limit."""

    agreed = []

    def run(is_reached):
        fill(sql, 1, first=100_000 + len(agreed))
        agreed.append(is_reached)
        [(free,)] = sql("SELECT code FROM vouchers ORDER BY issue_number DESC LIMIT 1")
        _, checked = storm.post("/vouchers/check", {"code": free, "email": ana})
        assert checked.get("reason") == (refused if is_reached else None)
        sql("UPDATE vouchers SET customer_id = 1 WHERE code = :code", code=free)
        listed = storm.request("GET", f"/vouchers?email={ana}", {})[1]
        assert [voucher["code"] for voucher in listed] == ([] if is_reached else [free])
        sql("UPDATE vouchers SET customer_id = NULL WHERE code = :code", code=free)
        if is_reached:
            status, claimed = storm.post("/vouchers/claim", body())
            assert (status, claimed["code"]) == (409, refused)

    return run


def redeem(server, code, **more):
    """Redeem for the customer, every fourth time with a key."""
    key = uuid.uuid4()
    header = {"Idempotency_Key": str(key)} if key.int % 4 == 0 else {}
    return server.post("/vouchers/validate", {"code": code, "email": ana} | more, **header)


hold_by_ben = """holds = jsonb_build_object('h', jsonb_build_object(
    'customer', 2, 'until', extract(epoch FROM now()) + 600))"""
hold_by_ana = hold_by_ben.replace("2,", "1,")
shapes = {
    "single-use": ("max_redemptions = 1", most),
    "held by another": (f"max_redemptions = 2, {hold_by_ben}", most),
    "held by the customer": (f"max_redemptions = 1, {hold_by_ana}", most),
    "hot": (f"max_redemptions = {most + 1}", 1),
    "hot and held by another": (f"max_redemptions = {most + 1}, {hold_by_ben}", 1),
    "some hot, some held": (f"max_redemptions = 1 + issue_number, {hold_by_ben}", 10),
}


@pytest.mark.parametrize("number", [7, pytest.param(1, marks=full)])
@pytest.mark.parametrize("shape", shapes)
@pytest.mark.parametrize(("callers", "rounds"), [(12, 1), pytest.param(most, 5, marks=full)])
def test_of_many_callers_exactly_as_many_redeem_as_the_limit_allows(
    storm, codes, limit, sql, agree, shape, number, callers, rounds
):
    change, distinct = shapes[shape]
    limit(number)
    for turn in range(rounds):
        sql("TRUNCATE redemptions")
        sql(f"UPDATE vouchers SET redemption_count = 0, used_at = NULL, {change}")
        answers = at_once(
            callers,
            lambda n: redeem(storm, codes[-1 - n % distinct], **orders(turn, n)),  # noqa: B023
        )
        assert outcomes(answers) == {201: number, refused: callers - number}
        assert sql(live) == [(number,)]
        agree(is_reached=True)


def orders(turn, number):
    """Let every third caller name its order."""
    return {"order_ref": f"o{turn}-{number}"} if number % 3 == 0 else {}


@pytest.mark.parametrize(("callers", "rounds"), [(12, 2), pytest.param(most, 20, marks=full)])
def test_the_limit_is_exact_while_what_it_counts_is_archived_and_purged(
    app, storm, codes, limit, sql, agree, callers, rounds
):
    archive = archivist(app, sql, lambda: let_a_month_pass(sql, 25))
    with meanwhile(archive) as moved, meanwhile(lambda: sql(live)[0][0]) as seen:
        for turn in range(1, rounds + 1):
            limit(5 * turn)
            answers = at_once(callers, lambda number: redeem(storm, codes[number]))  # noqa: B023
            assert outcomes(answers) == {201: 5, refused: callers - 5}
            assert sql(live) == [(5 * turn,)]
            fill(sql, 5, first=1000 * turn)
            codes = unused(sql)
    assert seen == sorted(seen)
    assert sum(moved) > 0
    assert sql("SELECT sum(redemption_count) FROM customer_totals") == [(sum(moved),)]
    agree(is_reached=True)
    limit(5 * rounds + 1)
    agree(is_reached=False)


def unused(sql):
    return [code for (code,) in sql("SELECT code FROM vouchers WHERE used_at IS NULL")]


changes = {"set": (None, 4), "raised": (3, 8), "lowered": (8, 3), "removed": (3, None)}

targets = [(most, "holds = NULL"), (1, hold_by_ben)]


@pytest.mark.parametrize(
    ("change", "distinct", "held", "rounds"),
    [
        *((change, *target, 1) for change, target in zip(changes, cycle(targets), strict=False)),
        *(
            pytest.param(change, *target, 10, marks=full)
            for change, target in product(changes, targets)
        ),
    ],
)
def test_a_limit_that_changes_in_a_storm_is_exact_for_what_begins_after_it(
    storm, codes, limit, sql, change, distinct, held, rounds
):
    before, after = changes[change]
    for turn in range(rounds):
        sql("TRUNCATE redemptions")
        sql(f"UPDATE vouchers SET redemption_count = 0, max_redemptions = 100000, {held}")
        limit(before)
        answers = redeem_while(partial(limit, after), storm, codes[-distinct:], (turn + 2) % 8)
        early, under_way, late = map(outcomes, answers)
        assert set(early + under_way + late) <= {201, refused}
        if after is None:
            assert set(late) == {201}
        else:
            assert late[201] <= max(0, after - early[201])
            assert early[201] + under_way[201] + late[201] >= after


def redeem_while(change, server, codes, after):
    """Redeem in 16 threads, change the limit after so many answers, and go on for a while.

    Return the answers that came before the change, those to what was under way, and those to what
    began later.
    """
    early, under_way, late, changed = [], [], [], threading.Event()

    def call(number):
        is_late = changed.is_set()
        answer = redeem(server, codes[number % len(codes)])
        answers = late if is_late else under_way if changed.is_set() else early
        answers.append(answer)

    def rage(number):
        while not changed.is_set():
            call(number)
        for turn in range(3):
            call(number + 16 * turn)

    with ThreadPoolExecutor(16) as pool:
        raging = [pool.submit(rage, number) for number in range(16)]
        until(lambda: len(early) >= after)
        change()
        changed.set()
        for thread in raging:
            thread.result()
    return early, under_way, late


def reverse(server, redemption_id):
    status, answer = server.post(f"/redemptions/{redemption_id}/reverse", {})
    assert (status, answer["id"]) == (200, str(redemption_id))
    return status, answer


@pytest.mark.parametrize(("callers", "rounds"), [(20, 2), pytest.param(most, 10, marks=full)])
def test_what_is_given_back_makes_exactly_so_much_room(
    storm, codes, limit, sql, agree, callers, rounds
):
    limit(5)
    room = 5
    sql(f"UPDATE vouchers SET max_redemptions = 9, {hold_by_ben}")
    for turn in range(rounds):
        answers = at_once(callers, lambda number: redeem(storm, codes[number]))
        assert outcomes(answers) == {201: room, refused: callers - room}
        agree(is_reached=True)
        room = turn % 5 + 1
        taken = sql("SELECT id FROM redemptions WHERE reversed_at IS NULL ORDER BY random()")
        at_once(2 * room, lambda number: reverse(storm, taken[number % room].id))  # noqa: B023
        assert sql(live) == [(5 - room,)]
        agree(is_reached=False)


@pytest.mark.parametrize("steps", [6, pytest.param(500, marks=full)])
@pytest.mark.parametrize("distinct", [1, pytest.param(most, marks=full)])
def test_redeeming_and_giving_back_at_once_never_exceeds_the_limit_and_ends_at_it(
    storm, codes, limit, sql, agree, steps, distinct
):
    limit(3)
    sql("UPDATE vouchers SET max_redemptions = 10000")
    free = []

    def rage(number):
        random, answers = Random(number), []  # noqa: S311
        for _ in range(steps):
            if number % 4 == 0 and free:
                answers.append(reverse(storm, free.pop()))
                continue
            answers.append(redeem(storm, codes[random.randrange(distinct)]))
            if answers[-1][0] == 201:
                free.append(answers[-1][1]["redemption_id"])
        return answers

    with meanwhile(lambda: sql(live)[0][0]) as seen:
        answers = outcomes(sum(at_once(16, rage), []))
    assert set(answers) == {200, 201, refused}
    assert max(seen) == 3
    at_once(16, lambda number: redeem(storm, codes[number % distinct]))
    assert sql(live) == [(3,)]
    agree(is_reached=True)
