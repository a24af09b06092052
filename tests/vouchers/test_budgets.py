"""max_redemptions and max_discount_total of an offer: its budget."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.builders import ana, ben, in_days
from tests.shop import outcome
from voucherpool.database.model import db
from voucherpool.database.transactions import transaction
from voucherpool.vouchers.eligibility import budget_watch

done = (201, None)
exhausted = (409, "offer_budget_exhausted")
of_uses = {"max_redemptions": 2}
of_money = {"max_discount_total": 50, "currency": "EUR"}
used = "SELECT redemption_count, discount_total FROM offer_budgets"
reserved = "SELECT amount FROM budget_holds WHERE held_until > now()"


@pytest.fixture
def offer(client, make):
    """Return a function that makes the offer KOI of half the price, and returns its address."""
    make.customer(ana), make.customer(ben)

    def create(**terms):
        answer = client.post("/offers", json={"name": "KOI", "discount": 50} | terms)
        assert answer.status_code == 201, answer.json
        return f"/offers/{answer.json['id']}"

    return create


@pytest.fixture
def voucher(client):
    """Return a function that issues a voucher of the offer KOI and returns its code."""

    def issue(email=ana, **more):
        body = {"email": email, "offer_name": "KOI", "expiry": in_days(30)} | more
        answer = client.post("/vouchers/generate", json=body)
        assert answer.status_code == 201, answer.json
        return answer.json["code"]

    return issue


def euros(amount):
    return {"order_amount": amount, "currency": "EUR"}


def test_so_many_redemptions_of_the_offer_succeed(client, offer, voucher, audit, sql):
    offer(**of_uses)
    codes = [voucher(), voucher(ben), voucher()]
    assert outcome(client.redeem(codes[0])) == done
    assert outcome(client.redeem(codes[1], ben)) == done  # the last one
    assert outcome(client.redeem(codes[2])) == exhausted
    assert client.check(codes[2]).json["reason"] == exhausted[1]
    assert outcome(client.hold(codes[2])) == exhausted
    assert sql(used) == [(2, 0)]
    audit()


def test_a_redemption_that_would_exceed_the_money_is_refused_and_a_smaller_one_succeeds(
    client, offer, voucher, audit, sql
):
    offer(**of_money)
    codes = [voucher() for _ in range(4)]
    assert outcome(client.redeem(codes[0], **euros(60))) == done
    assert outcome(client.redeem(codes[1], **euros("40.02"))) == exhausted
    assert client.check(codes[1], **euros("40.02")).json["reason"] == exhausted[1]
    assert client.listed() == codes[1:]
    assert outcome(client.redeem(codes[1], **euros(40))) == done  # the last cent
    assert outcome(client.redeem(codes[2], **euros("0.02"))) == exhausted
    assert client.listed() == []
    assert sql(used) == [(2, 50)]
    audit()


def test_an_order_without_an_amount_is_422_where_the_budget_is_of_money(client, offer, voucher):
    offer(**of_money)
    code = voucher()
    assert outcome(client.redeem(code)) == (422, "order_amount_required")
    assert client.check(code).json["reason"] == "order_amount_required"
    assert outcome(client.hold(code)) == done
    assert outcome(client.redeem(code, **euros(10))) == done


def test_an_order_needs_the_currency_of_the_budget(client, offer, voucher):
    offer(**of_money)
    assert outcome(client.redeem(voucher(), order_amount=9)) == (422, "currency_required")


@pytest.mark.parametrize("terms", [of_uses, of_money])
def test_a_reversal_gives_back(client, offer, voucher, sql, audit, terms):
    offer(**{"currency": "EUR"} | terms)
    codes = [voucher() for _ in range(3)]
    first = client.redeemed(codes[0], **euros(50))
    client.redeemed(codes[1], order_ref="o", **euros(50))
    assert outcome(client.redeem(codes[2], **euros(50))) == exhausted
    for _ in range(2):  # once, however often it is asked for
        assert client.post(f"/redemptions/{first['redemption_id']}/reverse").status_code == 200
    assert sql(used) == [(1, 25)]
    assert outcome(client.redeem(codes[2], **euros(50))) == done
    assert client.post("/redemptions/reverse", json={"order_ref": "o"}).status_code == 200
    assert sql(used) == [(1, 25)]
    audit()


def test_a_repeat_of_an_order_takes_nothing_more(client, offer, voucher, sql):
    offer(**of_uses | of_money)
    code = voucher(max_redemptions=5)
    answers = [client.redeem(code, order_ref="o", **euros(20)) for _ in range(3)]
    assert len({answer.data for answer in answers}) == 1
    headers = {"Idempotency-Key": "k"}
    answers = [client.redeem(code, headers=headers, **euros(20)) for _ in range(3)]
    assert len({answer.data for answer in answers}) == 1
    assert sql(used) == [(2, 20)]


def test_an_open_hold_reserves_its_use_and_its_amount_for_its_customer(client, offer, voucher, sql):
    offer(**of_uses | of_money)
    held, other, third = voucher(ben), voucher(), voucher()
    hold = client.hold(held, ben, **euros(60)).json
    assert sql(reserved) == [(30,)]
    assert outcome(client.redeem(other, **euros(50))) == exhausted
    assert outcome(client.redeem(other, **euros(40))) == done
    assert outcome(client.redeem(third, **euros(1))) == exhausted  # the second use is reserved
    assert outcome(client.redeem(held, ben, **euros(60))) == done
    assert (sql(used), sql(reserved)) == ([(2, 50)], [])
    assert client.post("/vouchers/release", json={"hold_id": hold["hold_id"]}).status_code == 204


def test_a_hold_that_is_extended_reserves_the_new_amount_or_keeps_the_old(
    client, offer, voucher, sql
):
    offer(**of_money)
    code, other = voucher(ben), voucher()
    client.hold(code, ben, **euros(40))
    assert outcome(client.hold(code, ben)) == done
    assert sql(reserved) == [(20,)]
    assert outcome(client.hold(code, ben, **euros(100))) == done
    assert outcome(client.hold(code, ben, **euros(101))) == exhausted
    assert sql(reserved) == [(50,)]
    assert client.check(other, **euros(1)).json["reason"] == exhausted[1]
    assert outcome(client.hold(code, ben, **euros(20))) == done
    assert outcome(client.redeem(other, **euros(80))) == done


def test_what_was_reserved_is_free_once_the_hold_is_over_or_released(client, offer, voucher, sql):
    offer(**of_money)
    codes = [voucher(ben), voucher(ben), voucher()]
    holds = [client.hold(code, ben, **euros(50)).json["hold_id"] for code in codes[:2]]
    assert outcome(client.redeem(codes[2], **euros(100))) == exhausted
    assert client.post("/vouchers/release", json={"hold_id": holds[0]}).status_code == 204
    assert outcome(client.redeem(codes[2], **euros(51))) == exhausted
    sql("UPDATE budget_holds SET held_until = now()")
    assert outcome(client.redeem(codes[2], **euros(100))) == done


def test_erasing_a_customer_frees_what_they_reserved(client, offer, voucher, sql):
    offer(**of_money)
    code = voucher()
    client.hold(voucher(ben), ben, **euros(100))
    assert outcome(client.redeem(code, **euros(50))) == exhausted
    [(ben_id,)] = sql("SELECT id FROM customers WHERE email = :email", email=ben)
    assert client.delete(f"/customers/{ben_id}").status_code == 204
    assert sql("SELECT FROM budget_holds") == []
    assert outcome(client.redeem(code, **euros(50))) == done


@pytest.mark.parametrize("terms", [of_uses, of_money])
def test_a_budget_counts_what_was_redeemed_before_it_also_in_the_archive(
    client, offer, voucher, sql, audit, terms
):
    this = offer(currency="EUR")
    codes = [voucher() for _ in range(4)]
    back = client.redeemed(codes[0], **euros(90))
    client.post(f"/redemptions/{back['redemption_id']}/reverse")
    client.redeemed(codes[1], **euros(80))
    sql("INSERT INTO archived_totals VALUES (1, '2020-01-01', 'EUR', 3, 20, 2, 15, 0, 0, 0, 0)")
    assert client.patch(this, json=terms).status_code == 200
    assert outcome(client.redeem(codes[2], **euros("10.02"))) == exhausted
    client.check(codes[2], **euros(1))  # keeps the count, which a refused transaction undoes
    assert sql(used) == [(2, 45)]
    sql("DELETE FROM archived_totals; UPDATE offer_budgets SET recount_at = now()")
    audit()


def test_the_first_redemption_after_a_budget_was_set_may_have_a_key(client, offer, voucher, sql):
    this = offer()
    codes = [voucher() for _ in range(2)]
    client.redeemed(codes[0])
    assert client.patch(this, json=of_uses).status_code == 200
    body = {"code": codes[1], "email": ana}
    answer = client.post("/vouchers/redeem", json=body, headers={"Idempotency-Key": "k"})
    assert outcome(answer) == done
    assert sql(used) == [(2, 0)]


def test_what_began_before_the_budget_is_counted_a_minute_later(
    app, client, offer, voucher, sql, audit
):
    this = offer()
    codes = [voucher() for _ in range(3)]
    assert client.patch(this, json=of_uses).status_code == 200
    assert client.check(codes[0]).json["redeemable"]  # counts
    late = """
        INSERT INTO redemptions (code_key, customer_id, offer_id, discount, discount_type)
        SELECT code_key, customer_id, offer_id, 50, 'percentage' FROM vouchers WHERE code = :code;
        UPDATE vouchers SET redemption_count = 1, used_at = now() WHERE code = :code"""
    sql(late, code=codes[0])
    recount(app)
    assert sql(used) == [(0, 0)]
    sql("UPDATE offer_budgets SET recount_at = now()")
    recount(app)
    assert sql(used) == [(1, 0)]
    audit()
    assert outcome(client.redeem(codes[1])) == done
    assert outcome(client.redeem(codes[2])) == exhausted


def recount(app):
    with app.app_context(), transaction():
        budget_watch.recount()


def test_a_budget_is_raised_lowered_lifted_and_set_again(client, offer, voucher, sql, audit):
    this = offer(**of_uses)
    codes = [voucher() for _ in range(6)]

    def redeem_under(number, code):
        changed = client.patch(this, json={"max_redemptions": number})
        assert changed.json["max_redemptions"] == number
        return outcome(client.redeem(code))

    assert redeem_under(2, codes[0]) == done
    assert redeem_under(1, codes[1]) == exhausted
    assert redeem_under(2, codes[1]) == done
    assert redeem_under(None, codes[2]) == done
    assert sql(used) == []
    assert redeem_under(3, codes[3]) == exhausted
    assert redeem_under(4, codes[3]) == done
    assert sql(used) == [(4, 0)]
    sql("UPDATE offer_budgets SET recount_at = NULL")
    audit()


def test_amounts_in_another_currency_than_the_budgets_do_not_count(client, offer, voucher, sql):
    this = offer(**of_uses)
    codes = [voucher(), voucher()]
    client.redeemed(codes[0], order_amount=5000, currency="JPY")
    assert client.patch(this, json=of_money).status_code == 200
    assert outcome(client.redeem(codes[1], **euros(100))) == done
    assert sql(used) == [(2, 50)]


def test_an_exhausted_offer_hands_out_no_vouchers(client, offer, voucher):
    offer(**of_uses)
    codes = [voucher(email=None) for _ in range(3)]
    claim = {"email": ana, "offer_name": "KOI", "claim_ref": "c"}
    assert client.post("/vouchers/claim", json=claim).status_code == 201
    for code in codes[1:]:
        assert outcome(client.redeem(code)) == done
    assert client.post("/vouchers/claim", json=claim).status_code == 201  # a repeat
    other = {"email": ben, "offer_name": "KOI"}
    assert outcome(client.post("/vouchers/claim", json=other)) == exhausted
    guest = {"email": "new@example.org", "offer_name": "KOI", "create_customer": True}
    assert outcome(client.post("/vouchers/claim", json=guest)) == exhausted


def test_a_budget_and_a_limit_per_customer_hold_together(client, offer, voucher):
    offer(max_redemptions=3, max_redemptions_per_customer=2)
    codes = [voucher(email=None) for _ in range(5)]
    answers = [outcome(client.redeem(code)) for code in codes[:3]]
    assert answers == [done, done, (409, "customer_limit_reached")]
    assert outcome(client.redeem(codes[2], ben)) == done
    assert outcome(client.redeem(codes[3], ben)) == exhausted


@pytest.mark.parametrize(
    ("terms", "named"),
    [
        ({"max_redemptions": 0}, "max_redemptions"),
        ({"max_redemptions": 1.5}, "max_redemptions"),
        ({"max_discount_total": 0, "currency": "EUR"}, "max_discount_total"),
        ({"max_discount_total": 50}, "max_discount_total"),
        ({"max_discount_total": "9.999", "currency": "EUR"}, "max_discount_total"),
        ({"max_discount_total": 9.5, "currency": "JPY"}, "max_discount_total"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(client, offer, terms, named):
    answer = client.post("/offers", json={"name": "ORCA", "discount": 5} | terms)
    assert (answer.status_code, list(answer.json["errors"])) == (422, [named])
    assert client.patch(offer(), json=terms).status_code == 422


@pytest.fixture
def events(app, sql):
    """Let somebody subscribe; return a function that watches, and returns the events since."""
    sql(
        "INSERT INTO webhooks (url, event_types, secret, active_from) VALUES"
        " ('http://example.org', ARRAY['budget.low', 'budget.exhausted'], '', now())"
    )

    def watch():
        with app.app_context(), transaction():
            budget_watch.watch()
            found = db.session.execute(text("SELECT type, data FROM events ORDER BY created_at"))
            events = [(event.type, event.data) for event in found]
            db.session.execute(text("DELETE FROM events"))
        return events

    return watch


def test_events_say_once_that_four_fifths_and_all_are_used(client, offer, voucher, events):
    offer(max_discount_total=50, currency="EUR", max_redemptions=10)
    codes = [voucher() for _ in range(4)]
    client.redeemed(codes[0], **euros("79.98"))
    assert events() == []
    last = client.redeemed(codes[1], **euros("0.02"))
    [(type_, data)] = events()
    assert (type_, data["percent"]) == ("budget.low", 80)
    assert data["offer"] == {
        "id": 1,
        "name": "KOI",
        "currency": "EUR",
        "max_redemptions": 10,
        "redemption_count": 2,
        "max_discount_total": 50,
        "discount_total": 40,
        "metadata": None,
    }
    assert events() == []
    client.redeemed(codes[2], **euros(20))
    assert [type_ for type_, _ in events()] == ["budget.exhausted"]
    client.post(f"/redemptions/{last['redemption_id']}/reverse")
    assert events() == []
    client.redeemed(codes[3], **euros("0.02"))
    assert [type_ for type_, _ in events()] == ["budget.exhausted"]


def test_both_events_come_if_all_was_used_between_two_looks(client, offer, voucher, events):
    offer(max_redemptions=1)
    client.redeemed(voucher())
    assert [type_ for type_, _ in events()] == ["budget.low", "budget.exhausted"]


def test_old_reservations_are_forgotten(app, client, offer, voucher, sql):
    offer(**of_uses)
    client.hold(voucher()), client.hold(voucher())
    day_ago = datetime.now(UTC) - timedelta(hours=25)
    sql("UPDATE budget_holds SET held_until = :then WHERE hold_id IN"
        " (SELECT hold_id FROM budget_holds LIMIT 1)", then=day_ago)  # fmt: skip
    with app.app_context(), transaction():
        assert budget_watch.forget_old_holds() == 1
    assert len(sql("SELECT FROM budget_holds")) == 1
