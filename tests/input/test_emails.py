"""E-mails: which are one customer's."""

import pytest

from tests.builders import ana, in_days
from voucherpool.input.emails import deliverable, email_key

umlaut, a_label = "u@bücher.example", "u@xn--bcher-kva.example"


@pytest.mark.parametrize(
    "spelling",
    [
        umlaut,
        " U@BÜCHER.Example ",
        "u@bu\u0308cher.example",
        a_label.upper(),
        "u@bücher。example",
        "u@ｂücher.example",
    ],
)
def test_an_international_domain_is_compared_in_its_a_labels(spelling):
    assert email_key(spelling) == a_label


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("u@straße.example", "u@strasse.example"),
        ("straße@x.example", "strasse@x.example"),
        ("u@i❤.example", "u@i.example"),
        ("u@⑴.example", "u@1.example"),
    ],
)
def test_domains_that_only_look_alike_are_two(one, other):
    assert email_key(one) != email_key(other)


def test_an_emoji_has_the_a_label_that_browsers_send():
    assert email_key("u@i❤.example") == email_key("u@xn--i-7iq.example")


def test_only_the_domain_changes_on_the_way_to_a_mail_server():
    assert deliverable("Jürgen@Bücher.example") == "Jürgen@xn--bcher-kva.example"


def test_the_normal_form_of_a_normal_form_is_itself():
    for email in (umlaut, a_label, "İ@İ.example", "u@⑴.example"):
        assert email_key(email_key(email)) == email_key(email)


def test_one_customer_has_one_limit_in_both_forms_of_the_domain(client, make):
    make.customer(umlaut)
    for code in ("SUMMER-1", "SUMMER-2"):
        terms = {"email": None, "offer_name": "KOI", "discount": 5, "code": code}
        client.post("/vouchers/generate", json=terms | {"expiry": in_days(1)})
    client.patch("/offers/1", json={"max_redemptions_per_customer": 1})
    assert client.redeem("SUMMER-1", umlaut).status_code == 201
    for spelling in (a_label, umlaut):
        assert client.redeem("SUMMER-2", spelling).json["code"] == "customer_limit_reached"
    again = client.post("/customers", json={"email": a_label})
    assert again.json["code"] == "customer_exists"
    assert client.get(f"/redemptions?email={a_label}").json["items"][0]["email"] == umlaut


def test_erasure_forgets_both_forms_of_the_domain(app, client, make):
    make.customer(ana)
    key = {"Idempotency-Key": "one"}
    client.post("/customers", json={"email": umlaut}, headers=key)
    erased = app.test_cli_runner().invoke(args=["customers", "erase", a_label, "--yes"])
    assert erased.output == "Erased.\n"
    repeated = client.post("/customers", json={"email": umlaut}, headers=key)
    assert repeated.json["email"] is None


@pytest.mark.parametrize(
    "domain",
    [f"{'a' * 64}.example", f"{'ü' * 60}.example", "äöüßäöüß." * 25 + "example"],
)
def test_a_domain_that_dns_cannot_hold_is_refused(client, domain):
    """It is measured in its A-labels, in which it is sent."""
    answer = client.post("/customers", json={"email": f"a@{domain}"})
    reason = "Must have a shorter domain, or shorter parts of it."
    assert answer.json["errors"] == {"email": [reason]}
    longest = f"a@{'a' * 63}.{'ü' * 50}.example"
    assert client.post("/customers", json={"email": longest}).status_code == 201


@pytest.mark.parametrize("stored", [umlaut, a_label])
def test_a_part_of_an_international_domain_finds_both_of_its_forms(client, make, stored):
    make.customer(stored)
    for part in ("bücher.example", "U@BÜCHER.EXAMPLE", "xn--bcher-kva", "u@bu\u0308cher.example"):
        found = client.get("/customers", query_string={"part": part}).json["items"]
        assert [it["email"] for it in found] == [stored], part
