"""The rules of a voucher as a small model, compared step by step with the service."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.builders import ana, ben, end_holds, in_days
from voucherpool.config.settings import checkout
from voucherpool.operations import integrity

people = st.sampled_from([ana, ben])
some = st.integers(0, 11)
orders = st.sampled_from([None, None, "o1", "o2"])
amounts = st.sampled_from([None, 10, 20])


@dataclass
class Redemption:
    """A use that was taken."""

    id: str
    voucher: "Voucher"
    email: str
    order: str | None
    amount: int | None
    answer: dict
    reversed: bool = False


@dataclass
class Voucher:
    """The expected state of a voucher."""

    code: str
    owner: str | None
    uses: int
    disabled: bool = False
    expired: bool = False
    holds: dict = field(default_factory=dict)


class Model(RuleBasedStateMachine):
    """Issues a few vouchers and does everything to them that can be done."""

    client = sql = app = None  # set by the test

    @initialize()
    def begin(self):
        self.sql("TRUNCATE customers, offers, idempotency_keys CASCADE")
        for email in (ana, ben):
            self.client.post("/customers", json={"email": email})
        self.vouchers, self.redemptions, self.limit, self.touched = [], [], None, None

    def touch(self, pick):
        self.touched = self.vouchers[pick % len(self.vouchers)]
        return self.touched

    def live(self, **wanted):
        return [
            redemption
            for redemption in self.redemptions
            if not redemption.reversed
            and all(getattr(redemption, name) == value for name, value in wanted.items())
        ]

    def refusal(self, voucher, email, *, honours_hold=True):
        """Return the code with which the service must refuse the customer, or None.

        Redeeming honours the customer's hold past the expiry; holding and the list do not.
        """
        used = len(self.live(voucher=voucher))
        held_by_others = len(set(voucher.holds) - {email})
        refusals = {
            "voucher_not_found": voucher.owner not in (None, email),
            "voucher_already_redeemed": used == voucher.uses == 1,
            "redemption_limit_reached": used == voucher.uses,
            "voucher_expired": voucher.expired and not (honours_hold and email in voucher.holds),
            "voucher_disabled": voucher.disabled,
            "voucher_held": used + held_by_others >= voucher.uses,
            "customer_limit_reached": self.limit is not None
            and len(self.live(email=email)) >= self.limit,
        }
        return next((code for code, applies in refusals.items() if applies), None)

    def post(self, path, **body):
        kept = {name: value for name, value in body.items() if value is not None}
        return self.client.post(path, json=kept)

    @precondition(lambda self: len(self.vouchers) < 4)
    @rule(owner=st.sampled_from([None, ana]), uses=st.integers(1, 3))
    def issue(self, owner, uses):
        body = {"email": owner, "offer_name": "KOI", "discount": 10, "expiry": in_days(1)}
        answer = self.client.post("/vouchers/generate", json=body | {"max_redemptions": uses})
        assert answer.status_code == 201
        self.vouchers.append(Voucher(answer.json["code"], owner, uses))

    @precondition(lambda self: self.vouchers)
    @rule(pick=some, email=people, order=orders, amount=amounts)
    def redeem(self, pick, email, order, amount):
        voucher = self.touch(pick)
        answer = self.post(
            "/vouchers/validate",
            code=voucher.code,
            email=email,
            order_ref=order,
            order_amount=amount,
        )
        earlier = [
            r for r in self.redemptions if order and (r.voucher, r.order) == (voucher, order)
        ]
        if earlier and voucher.owner in (None, email):
            self.repeat(earlier[0], email, amount, answer)
        elif refusal := self.refusal(voucher, email):
            assert answer.json["code"] == refusal
        else:
            assert answer.status_code == 201, answer.json
            voucher.holds.pop(email, None)
            taken = answer.json["redemption_id"]
            self.redemptions.append(Redemption(taken, voucher, email, order, amount, answer.json))

    def repeat(self, earlier, email, amount, answer):
        if (earlier.email, earlier.amount) != (email, amount):
            assert answer.json["code"] == "order_mismatch"
        elif earlier.reversed:
            assert answer.json["code"] == "redemption_reversed"
        else:
            assert answer.json == earlier.answer

    @precondition(lambda self: self.vouchers)
    @rule(pick=some, email=people)
    def hold(self, pick, email):
        voucher = self.touch(pick)
        answer = self.post("/vouchers/hold", code=voucher.code, email=email)
        if refusal := self.refusal(voucher, email, honours_hold=False):
            assert answer.json["code"] == refusal
        else:
            assert answer.status_code == 201, answer.json
            assert voucher.holds.setdefault(email, answer.json["hold_id"]) == answer.json["hold_id"]

    @precondition(lambda self: any(voucher.holds for voucher in self.vouchers))
    @rule(pick=some)
    def release(self, pick):
        held = [voucher for voucher in self.vouchers if voucher.holds]
        voucher = held[pick % len(held)]
        _, hold_id = voucher.holds.popitem()
        assert self.post("/vouchers/release", hold_id=hold_id).status_code == 204

    @precondition(lambda self: any(voucher.holds for voucher in self.vouchers))
    @rule()
    def let_holds_end(self):
        end_holds(self.sql)
        for voucher in self.vouchers:
            voucher.holds.clear()

    @precondition(lambda self: self.redemptions)
    @rule(pick=some)
    def reverse(self, pick):
        redemption = self.redemptions[pick % len(self.redemptions)]
        answer = self.post(f"/redemptions/{redemption.id}/reverse")
        assert (answer.status_code, answer.json["id"]) == (200, redemption.id)
        redemption.reversed = True

    @rule(order=st.sampled_from(["o1", "o2"]))
    def reverse_order(self, order):
        found = [redemption for redemption in self.redemptions if redemption.order == order]
        answer = self.post("/redemptions/reverse", order_ref=order)
        assert answer.status_code == (200 if found else 404)
        for redemption in found:
            redemption.reversed = True

    @precondition(lambda self: self.vouchers)
    @rule(pick=some, disabled=st.booleans())
    def disable_or_enable(self, pick, disabled):
        voucher = self.touch(pick)
        self.post(f"/vouchers/{'disable' if disabled else 'enable'}", code=voucher.code)
        voucher.disabled = disabled

    @precondition(lambda self: self.vouchers)
    @rule(pick=some, expired=st.booleans())
    def move_expiry(self, pick, expired):
        voucher = self.touch(pick)
        self.sql(
            "UPDATE vouchers SET expires_at = now() + :days * interval '1 day' WHERE code = :code",
            days=-1 if expired else 1,
            code=voucher.code,
        )
        voucher.expired = expired

    @precondition(lambda self: self.vouchers)
    @rule(limit=st.sampled_from([None, 1, 2, 3]))
    def limit_customers(self, limit):
        [offer] = self.client.get("/offers").json["items"]
        body = {"max_redemptions_per_customer": limit}
        assert self.client.patch(f"/offers/{offer['id']}", json=body).status_code == 200
        self.limit = limit

    @invariant()
    def the_check_of_the_voucher_that_was_touched_says_what_redeeming_would(self):
        for email in (ana, ben) if self.touched else ():
            answer = self.post("/vouchers/check", code=self.touched.code, email=email).json
            assert answer.get("reason") == self.refusal(self.touched, email)

    @invariant()
    def the_list_is_what_would_redeem(self):
        listed = self.client.get(f"/vouchers?email={ana}").json
        expected = [
            voucher.code
            for voucher in self.vouchers
            if voucher.owner == ana and not self.refusal(voucher, ana, honours_hold=False)
        ]
        assert sorted(voucher["code"] for voucher in listed) == sorted(expected)

    @invariant()
    def the_audit_finds_nothing(self):
        with self.app.app_context():
            assert not any(integrity.breaches().values())


@pytest.mark.parametrize(
    ("runs", "steps"), [(6, 20), pytest.param(200, 30, marks=pytest.mark.long)]
)
def test_the_service_follows_the_model(app, client, sql, monkeypatch, runs, steps):
    monkeypatch.setitem(app.config, "FAILED_ATTEMPTS_PER_EMAIL", 1_000_000)
    monkeypatch.setitem(app.config, "FAILED_ATTEMPTS_PER_KEY", 1_000_000)
    Model.app, Model.client, Model.sql = app, client, staticmethod(sql)
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=list(Phase),
            suppress_health_check=list(HealthCheck),
        ),
    )


guards = {
    "held": ("rules", ") < vouchers.max_redemptions", ") < vouchers.max_redemptions + 9"),
    "limit": ("limits", "found.redemption_count >= limit", "found.redemption_count > limit"),
    "disabled": ("rules", "vouchers.disabled_at IS NULL", "vouchers.code_key IS NOT NULL"),
}


@pytest.mark.long
@pytest.mark.parametrize("guard", guards)
def test_the_model_notices_a_guard_that_is_removed(tmp_path, guard):
    for part in ("voucherpool", "migrations", "tests", "setup.cfg"):
        copy = shutil.copytree if (checkout / part).is_dir() else shutil.copy
        copy(checkout / part, tmp_path / part)
    module, present, removed = guards[guard]
    rules = tmp_path / "voucherpool" / "vouchers" / "eligibility" / f"{module}.py"
    assert rules.read_text().count(present) == 1
    rules.write_text(rules.read_text().replace(present, removed))
    # One divergence is enough, without the search for the shortest that leads to it.
    model = tmp_path / "tests" / "vouchers" / "test_model.py"
    model.write_text(
        model.read_text()
        .replace("(6, 20)", "(200, 30)")
        .replace("phases=list(Phase)", "phases=[Phase.generate]")
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/vouchers/test_model.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1, run.stdout
    assert "AssertionError" in run.stdout
