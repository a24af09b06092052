"""/customers: made, listed, read and changed."""

from urllib.parse import quote

from tests.builders import ana, ben, in_days


def make_customer(client, email=ana, **more):
    answer = client.post("/customers", json={"email": email} | more)
    assert answer.status_code == 201
    return answer.json


def change(client, customer, **changes):
    return client.patch(f"/customers/{customer['id']}", json=changes)


def test_a_customer_is_made_and_read(client):
    customer = make_customer(client, " Ana@Example.org ", name=" Ana Ó ")
    assert customer == {
        "id": customer["id"],
        "email": "Ana@Example.org",
        "name": "Ana Ó",
        "language": None,
        "created_at": customer["created_at"],
    }
    assert customer["created_at"].endswith("Z")
    assert client.get(f"/customers/{customer['id']}").json == customer
    assert [make_customer(client, ben)["name"]] == [None]
    assert make_customer(client, "c@example.org", name=None)["name"] is None


def test_an_email_that_is_taken_in_another_spelling_is_409(client):
    first, second = make_customer(client, "Ana@Example.org"), make_customer(client, ben)
    for email in (ana, " ANA@EXAMPLE.ORG ", "Ana@Example.org"):
        for answer in (
            client.post("/customers", json={"email": email}),
            change(client, second, email=email, name="Ben"),
        ):
            assert (answer.status_code, answer.json["code"]) == (409, "customer_exists")
    assert client.get("/customers").json["items"] == [first, second]


def test_the_pages_join_into_the_whole_list(client):
    customers = [make_customer(client, f"c{number}@example.org") for number in range(4)]
    assert client.get("/customers").json == {"items": customers, "next": None}
    pages, query = [], {"limit": 2}
    while query:
        page = client.get("/customers", query_string=query).json
        pages.append(page["items"])
        query = page["next"] and {"limit": 2, "cursor": page["next"]}
    assert pages == [customers[:2], customers[2:]]


def test_a_customer_is_found_by_the_email_in_any_spelling(client):
    make_customer(client, ben)
    customer = make_customer(client, "Ana@Example.org")
    for email in (ana, " ANA@EXAMPLE.ORG "):
        answer = client.get(f"/customers?email={quote(email)}")
        assert answer.json == {"items": [customer], "next": None}
    nobody = client.get("/customers", query_string={"email": "nobody@example.org"})
    assert (nobody.status_code, nobody.json) == (200, {"items": [], "next": None})


def test_an_unknown_customer_is_404(client):
    make_customer(client)
    for method in ("GET", "PATCH"):
        for unknown in (0, 10**9, 10**18 - 1):
            answer = client.open(f"/customers/{unknown}", method=method, json={})
            assert (answer.status_code, answer.json["code"]) == (404, "customer_not_found")
        for no_id in (10**18, 2**63, "9" * 5000, -1, "1.0", "１", ana, "%00", "1%00"):
            assert client.open(f"/customers/{no_id}", method=method, json={}).status_code == 404


def test_name_and_email_change_and_null_takes_the_name_away(client):
    customer = make_customer(client)
    for changes in (
        {"name": "Ana"},
        {"email": "ANA@example.org"},
        {"email": "new@example.org", "name": "New"},
        {"name": None},
        {},
    ):
        answer = change(client, customer, **changes)
        assert (answer.status_code, answer.json) == (200, customer | changes)
        assert client.get(f"/customers/{customer['id']}").json == answer.json
        customer = answer.json
    assert make_customer(client, ana)["id"] != customer["id"]


def test_vouchers_stay_with_a_customer_whose_email_changes(client, sql):
    customer = make_customer(client, "Ana@Example.org")
    wanted = {"email": ana, "offer_name": "KOI", "discount": 22.1, "expiry": in_days(1)}
    code = client.post("/vouchers/generate", json=wanted).json["code"]
    change(client, customer, email="new@example.org")
    make_customer(client, ana)
    old = client.redeem(code)
    assert (old.status_code, old.json["code"]) == (404, "voucher_not_found")
    new = client.redeem(code, "NEW@example.org")
    assert new.status_code == 201


never = [True, False, 1, 1.5, [], {}, ["a"], {"a": 1}, "", " ", "a\nb", "a\u2028b", "x" * 300]
no_email = ["ana", "ana@", "@example.org", f"{ana}, {ben}", f"{'x' * 250}@example.org"]
wrong_values = {"email": [*never, *no_email], "name": [*never, "x" * 201], "id": [1], "age": [1]}


def test_a_wrong_value_is_422_and_named_and_changes_nothing(client):
    customer = make_customer(client)
    for field, values in wrong_values.items():
        for value in values:
            for answer in (
                client.post("/customers", json={"email": ben, field: value}),
                change(client, customer, **{field: value}),
            ):
                assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
                assert list(answer.json["errors"]) == [field], value
    assert client.get("/customers").json["items"] == [customer]


def test_a_value_that_is_not_acceptable_json_is_400_and_named(client):
    customer = make_customer(client)
    for field in ("email", "name"):
        for text in ('"a\\u0000b@example.org"', '"\\ud800@example.org"', "NaN", "9" * 50):
            for method, path in (("POST", "/customers"), ("PATCH", f"/customers/{customer['id']}")):
                answer = client.open(path, method=method, data=f'{{"{field}": {text}}}')
                assert (answer.status_code, answer.json["code"]) == (400, "malformed_json")
                assert list(answer.json["errors"]) == [field]
    assert client.get("/customers").json["items"] == [customer]


def test_a_wrong_query_is_422_and_named(client):
    for field, values in {
        "email": ["", "ana", "a\x00b@example.org", "x" * 300],
        "limit": ["0", "501", "-1", "1.5", "x", "１", "9" * 5000],
        "cursor": ["", "x", "%00", "LTE", "77yR", "OTk5OTk5OTk5OTk5OTk5OTk5OTk"],
        "name": ["Ana"],
    }.items():
        for value in values:
            answer = client.get("/customers", query_string={field: value})
            assert (answer.status_code, list(answer.json["errors"])) == (422, [field]), value


def test_customers_are_found_by_a_part_of_their_e_mail_or_name(client):
    for email, name in ((ana, "Ana Ünal"), ("ben@example.org", None), ("c_d@shop.test", "Cleo")):
        client.post("/customers", json={"email": email, "name": name})
    for part, expected in (("EXAMPLE", 2), ("unal", 0), ("ünal", 1), ("c_d", 1), ("leo", 1)):
        found = client.get("/customers", query_string={"part": part}).json["items"]
        assert len(found) == expected, part
