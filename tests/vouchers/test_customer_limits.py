"""max_redemptions_per_customer."""

import pytest

from tests.builders import ana, ben
from tests.shop import outcome


@pytest.fixture
def limit(client, make, sql):
    """Return a function that limits the offer of all vouchers through the API."""

    def run(number):
        [(offer_id,)] = sql("SELECT id FROM offers")
        answer = client.patch(f"/offers/{offer_id}", json={"max_redemptions_per_customer": number})
        assert answer.status_code == 200

    return run


refused = (409, "customer_limit_reached")
done = (201, None)
archived_one = """
    INSERT INTO customer_totals SELECT customers.id, offers.id, 1 FROM customers, offers
    WHERE customers.email = :email AND offers.name = :offer"""


def test_each_customer_redeems_so_many_vouchers_of_the_offer(client, make, limit, sql):
    make.customer(ben)
    codes = [make.voucher(customer_id=None) for _ in range(5)]
    limit(2)
    assert [outcome(client.redeem(code)) for code in codes[:3]] == [done, done, refused]
    assert outcome(client.redeem(codes[2], ben)) == done
    counts = sql("SELECT count(*) FROM redemptions GROUP BY customer_id ORDER BY 1")
    assert counts == [(1,), (2,)]
    assert sql("SELECT holds, redemption_count FROM vouchers WHERE used_at IS NULL") == [
        (None, 0),
        (None, 0),
    ]


def test_what_was_redeemed_before_the_limit_was_set_counts(client, make, limit):
    codes = [make.voucher() for _ in range(3)]
    assert outcome(client.redeem(codes[0])) == done
    limit(2)
    assert [outcome(client.redeem(code)) for code in codes[1:]] == [done, refused]


def test_what_was_redeemed_while_the_limit_was_lifted_counts_under_the_next(client, make, limit):
    codes = [make.voucher() for _ in range(5)]
    limit(1)
    assert outcome(client.redeem(codes[0])) == done
    limit(None)
    assert outcome(client.redeem(codes[1])) == done
    limit(3)
    assert [outcome(client.redeem(code)) for code in codes[2:4]] == [done, refused]


def test_giving_back_makes_room(client, make, limit):
    codes = [make.voucher() for _ in range(2)]
    limit(1)
    first = client.redeem(codes[0]).json
    assert outcome(client.redeem(codes[1])) == refused
    client.post(f"/redemptions/{first['redemption_id']}/reverse")
    assert outcome(client.redeem(codes[1])) == done


def test_vouchers_beyond_the_limit_are_not_listed(client, make, limit):
    codes = [make.voucher() for _ in range(2)]
    limit(1)
    assert client.listed() == codes
    client.redeem(codes[0])
    assert client.listed() == []


def test_only_what_the_customer_keeps_of_the_offer_counts(client, make, sql):
    make.customer(ben)
    codes = [make.voucher() for _ in range(2)]
    others = {make.voucher(offer="ORCA"): ana, make.voucher(ben): ben}
    sql("UPDATE offers SET max_redemptions_per_customer = 1")
    client.redeemed(codes[0], order_ref="o")
    assert client.post("/redemptions/reverse", json={"order_ref": "o"}).status_code == 200
    assert [outcome(client.redeem(code, email)) for code, email in others.items()] == [done] * 2
    for email, offer in ((ben, "KOI"), (ana, "ORCA")):
        sql(archived_one, email=email, offer=offer)
    assert client.listed() == codes
    assert outcome(client.redeem(codes[1])) == done


def test_the_ledger_and_the_archive_count_together(client, make, limit, sql):
    codes = [make.voucher() for _ in range(2)]
    limit(2)
    assert outcome(client.redeem(codes[0])) == done
    assert client.listed() == [codes[1]]
    sql(archived_one, email=ana, offer="KOI")
    assert client.listed() == []
    assert outcome(client.redeem(codes[1])) == refused


def test_a_voucher_is_held_until_the_limit_is_reached(client, make, limit):
    codes = [make.voucher() for _ in range(2)]
    limit(1)
    assert [outcome(client.hold(code)) for code in codes] == [done] * 2
    assert outcome(client.redeem(codes[0])) == done
    assert outcome(client.hold(codes[1])) == refused


def test_a_limit_that_is_reached_is_named_before_an_order_that_is_too_small(
    client, make, limit, sql
):
    codes = [make.voucher() for _ in range(2)]
    limit(1)
    assert outcome(client.redeem(codes[0])) == done
    sql("UPDATE offers SET min_order_amount = 10")
    assert outcome(client.redeem(codes[1])) == refused
