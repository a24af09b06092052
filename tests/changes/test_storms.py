"""Changes of one voucher and of many, while customers do all that can be done."""

import pytest

from tests.builders import in_days
from tests.storms import Client, archivist, at_any_moment, meanwhile, rage
from voucherpool.operations import worker


class Changer(Client):
    """Also changes vouchers, one by one and all of the offer at once."""

    actions = (
        *("redeem", "redeem", "redeem", "hold", "hold", "release", "reverse", "claim", "issue"),
        *("change", "change", "change_many", "enable", "enable", "claim_limit"),
    )

    def change(self):
        terms = {
            "expires_at": self.random.choice([None, in_days(1), in_days(9)]),
            "max_redemptions": self.random.randrange(1, 5),
            "starts_at": self.random.choice([None, None, in_days(0.5)]),
            "disabled": self.random.random() < 0.2,
            **self.email(),
        }
        return self.post(
            "/vouchers/change", self.code() | dict([self.random.choice([*terms.items()])])
        )

    def change_many(self):
        terms = [
            {"disabled": False},
            {"disabled": True, "reason": "leaked"},
            {"expires_at": {"add": "1d"}},
            {"expires_at": None, "disabled": False},
        ]
        only = {"only": self.random.choice(["all", "unused", "unclaimed"])}
        status, change = self.post("/offers/1/changes", self.random.choice(terms) | only)
        if self.random.random() < 0.1:
            return self.post(f"/changes/{change['id']}/cancel", {})
        return status, change

    def claim_limit(self):
        limit = {"max_claims_per_customer": self.random.choice([None, 2, 9])}
        return self.server.request("PATCH", "/offers/1", limit)


@pytest.mark.long
@pytest.mark.parametrize("steps", [15, 500])
def test_the_rules_hold_at_every_moment_of_a_storm_of_changes(
    storm, app, client, make, sql, audit, monkeypatch, steps, record_property
):
    people = [make.customer(f"c{number}@example.org") for number in range(12)]
    codes = [make.voucher(customer_id=None, max_redemptions=n % 4 + 1) for n in range(4)]
    clients = [Changer(storm, codes, people, seed) for seed in range(16)]

    def work():
        with app.app_context():
            return worker.change_a_page()

    with (
        meanwhile(at_any_moment(audit)) as samples,
        meanwhile(work),
        meanwhile(archivist(app, sql, lambda: None)) as archived,
    ):
        answers = rage(clients, steps)
    while work():
        pass
    record_property("answers", sorted(answers.items(), key=str))
    assert len(samples) > 1
    assert archived
    assert answers["change", 200], answers
    assert answers["change_many", 202], answers
    assert sql("SELECT count(*) FROM changes WHERE state NOT IN ('done', 'cancelled')") == [(0,)]
    assert sql("SELECT count(*) FROM changes WHERE changed > 0") > [(0,)]
