"""Customers who are erased in the middle of all that they do."""

import threading

import pytest

from tests.builders import in_days
from tests.erasure.test_erasure import dumped, traces
from tests.storms import Client, at_any_moment, meanwhile, rage
from voucherpool.database.transactions import transaction
from voucherpool.erasure import service as erasure


class Eraser(Client):
    """Erases the customers of a storm, and makes new ones; all use those that are erased too."""

    actions = (*Client.actions, "redeem", "hold", "hold", "claim", "guess", "guess", "lookup")
    actions = (*(action for action in actions if action != "limit"), "join", "erase")
    joined = threading.Lock()
    erased = None  # set by the test

    def email(self):
        return {"email": self.random.choice(self.people[-6:])}

    def join(self):
        with self.joined:
            email = f"person-{len(self.people):05}@example.org"
            answer = self.post("/customers", {"email": email, "name": f"Name of {email}"})
            self.people.append(email)
        return answer

    def erase(self):
        email = self.random.choice(self.people[-6:])
        _, found = self.server.request("GET", f"/customers?email={email}", {})
        for customer in found["items"]:
            status, _ = self.server.send(f"/customers/{customer['id']}", None, "DELETE")
            self.erased.update([email] if status == 204 else [])
            return status, {"code": "customer_not_found"}
        return 404, {"code": "customer_not_found"}

    def guess(self):
        route = self.random.choice(["check", "validate"])
        return self.post(f"/vouchers/{route}", {"code": "0000-0000-0000"} | self.email())

    def issue(self):
        """Issue a voucher, every third time to a customer."""
        body = {"offer_name": "KOI", "discount": 10, "expiry": in_days(1), "max_redemptions": 3}
        email = self.email() if self.random.random() < 0.3 else {"email": None}
        answer = self.post("/vouchers/generate", body | email)
        self.codes += [answer[1]["code"]] if answer[0] == 201 else []
        return answer

    def lookup(self):
        return self.post("/vouchers/lookup", self.code())


held_by_erased = """
    SELECT terms FROM vouchers, jsonb_each(holds) AS hold(id, terms)
    JOIN customers ON customers.id = (terms->>'customer')::bigint
    WHERE erased_at IS NOT NULL"""


@pytest.mark.long
@pytest.mark.parametrize("steps", [15, 800])
def test_who_is_erased_in_a_storm_leaves_nothing_and_blocks_nobody(
    app, storm, make, sql, audit, steps, record_property
):
    people = [make.customer(f"person-{number:05}@example.org") for number in range(6)]
    codes = [make.voucher(people[0], customer_id=None, max_redemptions=3) for _ in range(4)]
    Eraser.erased = set()
    clients = [Eraser(storm, codes, people, seed) for seed in range(16)]
    with meanwhile(at_any_moment(audit)):
        answers = rage(clients, steps)
    record_property("answers", sorted(answers.items(), key=str))
    record_property("holds that slipped in", len(sql(held_by_erased)))
    assert len(Eraser.erased) > 2
    assert {answer for _, answer in answers} < {
        *(200, 201, 204, "customer_not_found", "voucher_not_found", "redemption_not_found"),
        *("voucher_already_redeemed", "redemption_limit_reached", "voucher_held"),
        *("voucher_disabled", "pool_empty", "claim_mismatch", "order_mismatch"),
        "redemption_reversed",
    }
    assert traces(dumped(sql), *sorted(Eraser.erased)) == []
    with app.app_context(), transaction():
        erasure.end_holds_left()
    assert sql(held_by_erased) == []
