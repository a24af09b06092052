"""POST /vouchers/redeem, also under its earlier name, validate."""

import uuid
from datetime import datetime

import pytest

from tests.builders import ana, ben
from voucherpool.vouchers import codes

path = "/vouchers/validate"


@pytest.mark.one_machine("on a cluster each machine has a now() of its own")
def test_it_answers_the_redemption_and_marks_the_voucher_used(client, make, sql):
    code = make.voucher(discount="22.1")
    answer = client.redeem(code)
    assert answer.status_code == 201
    assert answer.json["discount"] == 22.1
    [row] = sql("SELECT * FROM redemptions")
    assert row.code_key == codes.normal_form(code)
    assert row.id == uuid.UUID(answer.json["redemption_id"])
    assert row.redeemed_at == datetime.fromisoformat(answer.json["redeemed_at"])
    assert str(row.discount) == "22.1"
    [voucher] = sql("SELECT * FROM vouchers")
    assert voucher.redemption_count == 1
    assert voucher.used_at == row.redeemed_at


def test_the_earlier_name_does_the_same(client, make):
    body = {"code": make.voucher(), "email": ana, "order_ref": "A-1"}
    answers = [client.post(path, json=body) for path in ("/vouchers/redeem", "/vouchers/validate")]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].data == answers[1].data


def test_a_second_time_is_409_and_leaves_the_ledger_alone(client, make, sql):
    code = make.voucher()
    client.redeem(code)
    answer = client.redeem(code)
    assert (answer.status_code, answer.json["code"]) == (409, "voucher_already_redeemed")
    assert len(sql("SELECT * FROM redemptions")) == 1


def test_a_voucher_of_three_uses_redeems_three_times(client, make, sql):
    code = make.voucher(max_redemptions=3)
    assert [client.redeem(code).status_code for _ in range(4)] == [201, 201, 201, 409]
    assert client.redeem(code).json["code"] == "redemption_limit_reached"
    assert len(sql("SELECT * FROM redemptions")) == 3


def test_a_voucher_gives_the_discount_of_its_own_offer(client, make):
    codes = {
        discount: make.voucher(offer=f"{discount} off", discount=discount) for discount in "123"
    }
    for discount, code in codes.items():
        answer = client.redeem(code)
        assert answer.json["discount"] == int(discount)


def test_an_expired_voucher_is_410(client, make, sql):
    answer = client.redeem(make.voucher(days=-0.0001))
    assert (answer.status_code, answer.json["code"]) == (410, "voucher_expired")
    assert sql("SELECT * FROM redemptions") == []


def test_a_voucher_used_before_it_expired_is_called_redeemed(client, make, sql):
    code = make.voucher()
    client.redeem(code)
    sql("UPDATE vouchers SET expires_at = now() - interval '1 day'")
    assert client.redeem(code).json["code"] == "voucher_already_redeemed"


def test_an_unknown_customer_is_404(client, make):
    answer = client.redeem(make.voucher(), "nobody@example.org")
    assert (answer.status_code, answer.json["code"]) == (404, "customer_not_found")


def test_another_customers_voucher_answers_exactly_like_an_unknown_code(client, make):
    make.customer(ben)
    headers = {"X-Request-Id": "same"}
    code = make.voucher(ana)
    answers = [
        client.post(path, json={"code": text, "email": ben}, headers=headers)
        for text in (code, "0000-0000-0000", "ÄÖÜ!", "short")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert answers[0].json["code"] == "voucher_not_found"
    assert len({(answer.data, str(answer.headers)) for answer in answers}) == 1


def test_an_unbound_voucher_redeems_for_any_known_customer(client, make):
    make.customer(ben)
    code = make.voucher(ana, customer_id=None)
    assert client.redeem(code, ben).status_code == 201


@pytest.mark.parametrize(
    "spell",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: code.replace("-", " "),
        lambda code: code.replace("-", " - "),
        lambda code: code.replace("-", "\u2011"),
        lambda code: f"  {code}  ",
        lambda code: code.replace("0", "O").replace("1", "I"),
        lambda code: code.replace("0", "o").replace("1", "l"),
    ],
)
def test_eight_spellings_find_one_voucher(client, make, monkeypatch, spell):
    monkeypatch.setattr(codes, "generate", lambda: "01AB-CD0E-1FGH")
    code = make.voucher()
    assert client.redeem(spell(code)).status_code == 201
    assert client.redeem(code).status_code == 409


def test_a_body_without_a_content_type_is_read_as_json(client, make):
    for content_type in (None, "application/x-www-form-urlencoded"):
        body = f'{{"code":"{make.voucher()}","email":"{ana}"}}'
        assert client.post(path, data=body, content_type=content_type).status_code == 201
