"""GET /vouchers."""

import base64
import re

from tests.builders import ana, ben


def listed(client, **query):
    answer = client.get("/vouchers", query_string={"email": ana} | query)
    assert answer.status_code == 200
    return answer


def codes_of(answer):
    return [voucher["code"] for voucher in answer.json]


def test_it_answers_code_offer_discount_and_expiry(client, make, sql):
    code = make.voucher(offer="KOI", discount="10")
    sql("UPDATE vouchers SET expires_at = '2199-04-21T18:25:43-05:00'")
    assert listed(client).json == [
        {
            "code": code,
            "offer_name": "KOI",
            "discount": 10,
            "discount_type": "percentage",
            "expires_at": "2199-04-21T23:25:43Z",
        }
    ]


def test_it_leaves_out_what_would_not_redeem(client, make):
    make.customer(ben)
    good = make.voucher()
    make.voucher(days=-1)
    make.voucher(ben)
    make.voucher(customer_id=None)
    used = make.voucher()
    client.redeem(used)
    assert codes_of(listed(client)) == [good]


def test_it_keeps_a_voucher_with_a_use_left(client, make):
    code = make.voucher(max_redemptions=2)
    client.redeem(code)
    assert codes_of(listed(client)) == [code]


def test_the_oldest_expiry_comes_first(client, make):
    late, soon = make.voucher(days=20), make.voucher(days=10)
    assert codes_of(listed(client)) == [soon, late]


def test_a_customer_without_vouchers_has_an_empty_list(client, make):
    make.customer()
    assert listed(client).json == []


def test_an_unknown_customer_is_404(client):
    answer = client.get("/vouchers?email=nobody@example.org")
    assert (answer.status_code, answer.json["code"]) == (404, "customer_not_found")


def test_the_email_may_come_as_a_json_body(client, make):
    code = make.voucher()
    answer = client.get("/vouchers", data=f'{{"email":"{ana}"}}')
    assert codes_of(answer) == [code]


def test_the_pages_join_into_the_whole_list(client, make, sql):
    for _ in range(7):
        make.voucher()
    sql("UPDATE vouchers SET expires_at = '2199-01-01' WHERE issue_number > 2")
    whole = codes_of(listed(client))
    pages, url = [], f"/vouchers?email={ana}&limit=3"
    while url:
        answer = client.get(url)
        pages.append(codes_of(answer))
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("Link", ""))
        url = link and link[1]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sum(pages, []) == whole


def test_no_code_stands_in_the_link_to_the_next_page(client, make):
    for _ in range(2):
        make.voucher()
    answer = listed(client, limit=1)
    cursor = re.search("cursor=([^&>]*)", answer.headers["Link"])[1]
    position = base64.urlsafe_b64decode(cursor + "==").decode()
    [voucher] = answer.json
    assert voucher["code"][:4] not in position
    assert position.startswith(voucher["expires_at"].rstrip("Z"))


def test_a_full_last_page_links_nowhere(client, make):
    make.voucher()
    assert "Link" not in listed(client, limit=1).headers
