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
    assert len(client.get(f"/vouchers?email={ana}").json) == 2
    client.redeem(codes[0])
    assert client.get(f"/vouchers?email={ana}").json == []
