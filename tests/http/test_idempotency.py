"""Idempotency-Key on every write."""

import pytest

from tests.builders import ana, in_days

path = "/vouchers/validate"


def send(client, key, body, path=path):
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def test_a_repeat_gets_the_first_answer_byte_for_byte(client, make, sql):
    body = {"code": make.voucher(), "email": ana}
    first, second = send(client, "k1", body), send(client, "k1", body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.data == second.data
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.content_type == first.content_type
    assert len(sql("SELECT * FROM redemptions")) == 1


def test_every_post_that_writes_takes_a_key(client, make, sql):
    make.customer()
    requests = {
        "/vouchers/generate": {
            "email": ana,
            "offer_name": "KOI",
            "discount": 5,
            "expiry": in_days(1),
        },
        "/offers": {"name": "NEW", "discount": 5},
        "/customers": {"email": "new@example.org"},
    }
    code = client.post("/vouchers/generate", json=requests["/vouchers/generate"]).json["code"]
    requests["/vouchers/hold"] = {"code": code, "email": ana}
    requests["/vouchers/disable"] = {"code": code}
    requests["/vouchers/enable"] = {"code": code}
    requests["/vouchers/validate"] = {"code": code, "email": ana, "order_ref": "o1"}
    requests["/redemptions/reverse"] = {"order_ref": "o1"}
    for path, body in requests.items():
        first, second = (send(client, f"key of {path}".replace(" ", "-"), body, path) for _ in "12")
        assert first.status_code < 300, path
        assert second.headers["Idempotent-Replayed"] == "true", path
        assert (second.status_code, second.data) == (first.status_code, first.data)
    assert sql("SELECT count(*) FROM vouchers") == [(2,)]


def test_an_answer_without_a_body_is_replayed_too(client):
    body = {"hold_id": "00000000-0000-4000-8000-000000000000"}
    for replayed in (None, "true"):
        answer = send(client, "k", body, "/vouchers/release")
        assert (answer.status_code, answer.data) == (204, b"")
        assert answer.headers.get("Idempotent-Replayed") == replayed


def test_another_body_or_route_under_the_key_is_422(client, make):
    code = make.voucher()
    body = {"code": code, "email": ana}
    assert send(client, "k", body).status_code == 201
    for other, route in (
        ({**body, "order_ref": "x"}, path),
        ({**body, "code": code.lower()}, path),
        (body, "/vouchers/hold"),
    ):
        answer = send(client, "k", other, route)
        assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_another_method_under_the_key_is_422(client, make):
    make.customer()
    same = {"json": {"name": "Ana"}, "headers": {"Idempotency-Key": "k"}}
    assert client.patch("/customers/1", **same).status_code == 200
    answer = client.delete("/customers/1", **same)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_key_reused")


def test_the_same_body_spelt_otherwise_is_the_same(client, make):
    code = make.voucher()
    spellings = [
        f'{{"code":"{code}","email":"{ana}","order_amount":100}}',
        f'{{ "order_amount": 1.00e2, "email": "{ana}", "code": "{code}" }}',
        f'{{"email":"{ana}","code":"\\u{ord(code[0]):04x}{code[1:]}","order_amount":100.0}}',
    ]
    answers = [client.post(path, data=text, headers={"Idempotency-Key": "k"}) for text in spellings]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert len({answer.data for answer in answers}) == 1


def test_a_refusal_is_not_remembered_but_decided_again(client, make, sql):
    code = make.voucher(days=-1)
    body = {"code": code, "email": ana}
    assert send(client, "k", body).status_code == 410
    assert sql("SELECT * FROM idempotency_keys") == []
    sql("UPDATE vouchers SET expires_at = now() + interval '1 day'")
    assert send(client, "k", body).status_code == 201


def test_bare_and_quoted_keys_are_the_same(client, make):
    body = {"code": make.voucher(), "email": ana}
    assert send(client, "a-key", body).status_code == 201
    assert send(client, '"a-key"', body).headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("unacceptable", ["", "a b", "a" * 256, "\u00e4", '""'])
def test_an_unacceptable_key_is_422_and_named(client, make, unacceptable):
    answer = send(client, unacceptable, {"code": make.voucher(), "email": ana})
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["Idempotency-Key"])


def test_cleanup_forgets_unused_keys_only_and_a_repeat_renews_its_key(app, client, make, sql):
    body = {"code": make.voucher(max_redemptions=2), "email": ana}
    send(client, "old", body)
    sql("UPDATE idempotency_keys SET used_at = now() - interval '49 hours'")
    first = send(client, "old", body)
    result = app.test_cli_runner().invoke(args=["cleanup"])
    assert result.output == "Deleted 0 idempotency keys and 0 refused attempts.\n"
    assert first.headers["Idempotent-Replayed"] == "true"
    sql("UPDATE idempotency_keys SET used_at = now() - interval '49 hours'")
    result = app.test_cli_runner().invoke(args=["cleanup"])
    assert result.output.startswith("Deleted 1 idempotency keys")
