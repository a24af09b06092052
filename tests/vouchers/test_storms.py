"""All that can be done to vouchers, at random and at once."""

import pytest

from tests.server import at_once
from tests.storms import Client, at_any_moment, meanwhile, outcomes, rage
from voucherpool.vouchers.models import open_holds

full = pytest.mark.long


class Holder(Client):
    """Reserves, takes and gives back, on two vouchers."""

    actions = ("hold", "hold", "hold", "release", "release", "redeem", "reverse", "claim", "issue")
    newest = 2


@pytest.fixture
def people(make):
    """Return the e-mails of the customers."""
    return [make.customer(f"c{number}@example.org") for number in range(12)]


@pytest.mark.parametrize("kind", [Client, pytest.param(Holder, marks=full)])
@pytest.mark.parametrize("steps", [15, pytest.param(700, marks=full)])
def test_the_rules_hold_at_every_moment_of_a_storm(
    storm, make, people, audit, kind, steps, record_property
):
    codes = [make.voucher(customer_id=None, max_redemptions=n % 4 + 1) for n in range(4)]
    clients = [kind(storm, codes, people, seed) for seed in range(16)]
    with meanwhile(at_any_moment(audit)) as samples:
        answers = rage(clients, steps)
    record_property("answers", sorted(answers.items(), key=str))
    assert len(samples) > 1
    assert all(answers[action, 201] for action in ("hold", "redeem", "claim", "issue")), answers


@pytest.mark.parametrize("uses", [7, pytest.param(1, marks=full)])
@pytest.mark.parametrize(("callers", "rounds"), [(20, 1), pytest.param(100, 15, marks=full)])
def test_of_many_customers_who_hold_and_redeem_exactly_as_many_get_a_use_as_there_are(
    storm, crowd, sql, uses, callers, rounds
):
    code, people = crowd

    def call(number):
        route = ("hold", "validate")[number % 2]
        return storm.post(f"/vouchers/{route}", {"code": code, "email": people[number]})

    for _ in range(rounds):
        sql("TRUNCATE redemptions")
        sql(
            "UPDATE vouchers SET redemption_count = 0, used_at = NULL, holds = NULL,"
            " max_redemptions = :uses",
            uses=uses,
        )
        answers = at_once(callers, call)
        refused = {"voucher_held", "voucher_already_redeemed", "redemption_limit_reached"}
        assert outcomes(answers)[201] == uses
        assert set(outcomes(answers)) <= {201, *refused}
        assert sql(taken) == [(uses,)]
        holders = [number for number in range(0, callers, 2) if answers[number][0] == 201]
        for number in holders:
            assert call_as(storm, "validate", code, people[number])[0] == 201
        assert sql("SELECT redemption_count, holds FROM vouchers") == [(uses, None)]


@pytest.fixture
def crowd(make):
    """Return the code of an unbound voucher, and 100 customers."""
    return make.voucher(customer_id=None), [make.customer(f"c{n}@example.org") for n in range(100)]


def call_as(server, route, code, email):
    return server.post(f"/vouchers/{route}", {"code": code, "email": email})


taken = f"SELECT redemption_count + (SELECT count(*) FROM {open_holds}) FROM vouchers"


@pytest.mark.parametrize("uses", [3, pytest.param(1, marks=full)])
@pytest.mark.parametrize("steps", [5, pytest.param(700, marks=full)])
def test_what_is_reserved_and_given_back_all_the_time_is_never_taken_too_often_nor_lost(
    storm, crowd, sql, uses, steps, record_property
):
    code, people = crowd
    sql("UPDATE vouchers SET max_redemptions = :uses", uses=uses)

    def rage(number):
        answers = []
        for _ in range(steps):
            route = ("hold", "validate")[number % 2]
            answers.append(call_as(storm, route, code, people[number]))
            status, taken = answers[-1]
            if status == 201 and route == "hold":
                answers.append(storm.post("/vouchers/release", {"hold_id": taken["hold_id"]}))
            elif status == 201:
                path = f"/redemptions/{taken['redemption_id']}/reverse"
                answers.append(storm.post(path, {}))
        return answers

    with meanwhile(lambda: sql(taken)[0][0]) as seen:
        answers = outcomes(
            [(status, answer or {}) for status, answer in sum(at_once(16, rage), [])]
        )
    record_property("answers", sorted(answers.items(), key=str))
    assert max(seen) <= uses
    assert set(answers) <= {
        *(200, 201, 204, "voucher_held", "voucher_already_redeemed"),
        "redemption_limit_reached",
    }
    assert answers[200] + answers[204] == answers[201]
    assert sql("SELECT redemption_count, holds FROM vouchers") == [(0, None)]
    assert [call_as(storm, "validate", code, people[n])[0] for n in range(uses)] == [201] * uses
