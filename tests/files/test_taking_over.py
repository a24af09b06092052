"""Taking over a running campaign: customers, vouchers and uses that another system made."""

import re

import pytest

from tests.builders import ana, ben, in_days
from tests.shop import outcome
from voucherpool.archive import moving
from voucherpool.vouchers import codes

header = "code,email,max_redemptions,redemption_count"


@pytest.fixture
def send(client):
    """Return a function that imports lines into the offer KOI."""
    client.post("/offers", json={"name": "KOI", "discount": 50, "currency": "EUR"})

    def run(*lines, names=header, expiry="2099-12-31", **query):
        text = "\n".join((names, *lines)).encode()
        return client.post(
            "/offers/1/imports",
            data=text,
            content_type="text/csv",
            query_string={"expiry": expiry, **query},
        )

    return run


def test_unknown_customers_are_created_where_the_shop_says_so(client, send, make, sql, audit):
    make.customer(ben)
    lines = ("ONE,Ana@example.org", "TWO,ana@example.org", f"THREE,{ben}", "FOUR,")
    refused = send(*lines, names="code,email")
    assert refused.json["errors"]["line 2"] == ["email: No customer has this e-mail."]
    assert sql("SELECT count(*) FROM customers") == [(1,)]
    answer = send(*lines, names="code,email", create_customers="true")
    expected = {"imported": 4, "skipped": 0, "skipped_lines": [], "customers_created": 1}
    assert (answer.status_code, answer.json) == (201, expected)
    assert sql("SELECT email, email_key FROM customers WHERE email_key <> :ben", ben=ben) == [
        ("Ana@example.org", ana)
    ]
    assert sorted(client.listed()) == ["ONE", "TWO"]
    audit()


def test_a_refused_file_creates_no_customers(send, sql):
    answer = send("ONE,new@example.org", "ONE,", names="code,email", create_customers="true")
    assert answer.status_code == 422
    assert sql("SELECT FROM customers") == sql("SELECT FROM vouchers") == []


def test_what_exists_is_skipped_and_reported(client, app, send, make, sql, audit):
    make.customer()
    assert send("old-1,", "OLD-2,", names="code,email").status_code == 201
    client.redeemed("old-2")
    make.older(130)
    moves = ["vouchers", "archive", "--older-than", "90d"]
    assert app.test_cli_runner().invoke(args=moves).exit_code == 0
    lines = ("NEW-1,", "OLD 1,nobody@example.org", "old-2,", "NEW-2,")
    assert send(*lines, names="code,email").status_code == 422
    answer = send(*lines, names="code,email", on_conflict="skip", create_customers="true")
    assert answer.json == {
        "imported": 2,
        "skipped": 2,
        "skipped_lines": [3, 4],
        "customers_created": 0,
    }
    assert send(*lines, names="code,email", on_conflict="skip").json["imported"] == 0
    assert sql("SELECT code FROM vouchers ORDER BY code") == [("NEW-1",), ("NEW-2",), ("old-1",)]
    audit()


def test_a_code_twice_in_the_file_is_refused_all_the_same(send):
    answer = send("NEW,", "n-e-w,", names="code,email", on_conflict="skip")
    assert answer.json["errors"]["line 3"] == ["code: The same code as in line 2."]


def test_uses_that_were_taken_before_are_rows_of_the_ledger(client, send, make, sql, audit):
    make.customer()
    answer = send("PUBLIC,,10,7", f"MINE,{ana},2,1", f"USED,{ana},1,1", "FRESH,,3,0")
    assert (answer.status_code, answer.json["imported"]) == (201, 4)
    audit()
    for _ in range(3):
        assert outcome(client.redeem("public")) == (201, None)
    assert outcome(client.redeem("PUBLIC")) == (409, "redemption_limit_reached")
    assert outcome(client.redeem("USED")) == (409, "voucher_already_redeemed")
    assert outcome(client.redeem("MINE")) == (201, None)
    assert client.listed() == []
    record = client.post("/vouchers/lookup", json={"code": "USED"}).json
    [entry] = record["redemptions"]
    assert (entry["kind"], entry["email"], entry["discount"]) == ("imported", ana, 50)
    kinds = {row["kind"] for row in client.get(f"/redemptions?email={ana}").json["items"]}
    assert kinds == {"imported", "redeemed"}
    [nobody, *_] = client.post("/vouchers/lookup", json={"code": "PUBLIC"}).json["redemptions"][3:]
    assert (nobody["kind"], nobody["email"]) == ("imported", None)
    assert client.post(f"/redemptions/{nobody['id']}/reverse").json["reversed_at"]
    assert outcome(client.redeem("PUBLIC")) == (201, None)
    audit()


def test_more_uses_than_the_voucher_may_have_are_refused(send):
    answer = send("ONE,,1,2")
    reason = "redemption_count: Must not be above max_redemptions."
    assert answer.json["errors"]["line 2"] == [reason]


def test_a_file_has_at_most_a_million_uses(send, sql):
    answer = send("ONE,,2000000,600000", "TWO,,2000000,400001")
    assert answer.json["errors"] == {
        "file": ["Must have at most 1000000 redemptions in all: split it."]
    }


def test_imported_uses_count_for_limits_and_budgets(client, send, make, sql, audit):
    make.customer()
    limits = {"max_redemptions": 4, "max_redemptions_per_customer": 2}
    assert client.patch("/offers/1", json=limits).status_code == 200
    assert client.post("/vouchers/claim", json={"email": ana, "offer_name": "KOI"}).status_code
    assert send(f"MINE,{ana},5,1", "PUBLIC,,5,2").status_code == 201
    assert outcome(client.redeem("MINE")) == (201, None)
    assert outcome(client.redeem("MINE")) == (409, "customer_limit_reached")
    make.customer(ben)
    assert outcome(client.redeem("PUBLIC", ben)) == (409, "offer_budget_exhausted")
    sql("UPDATE offer_budgets SET recount_at = NULL")
    audit()


def test_imported_uses_move_to_the_archive_and_its_totals(app, client, send, make, sql, audit):
    make.customer()
    send("PUBLIC,,3,3", f"MINE,{ana},1,1")
    make.older(130)
    moves = ["vouchers", "archive", "--older-than", "90d"]
    assert app.test_cli_runner().invoke(args=moves).exit_code == 0
    totals = "SELECT customer_id, redemption_count FROM customer_totals ORDER BY 1"
    assert sql(totals) == [(moving.nobody, 3), (1, 1)]
    assert client.get("/offers/1/stats").json["redeemed"] == 4
    audit()


def test_what_is_exported_can_be_imported_again(client, send, make, sql, audit):
    make.customer()
    send("PUBLIC,,10,7", f"MINE,{ana},2,1", "@home+5%&more_x.y,,,")
    with client.get("/offers/1/codes") as answer:
        exported = answer.text
    sql("TRUNCATE redemptions, vouchers, offer_counts CASCADE")
    again = client.post("/offers/1/imports", data=exported.encode(), content_type="text/csv")
    assert (again.status_code, again.json["imported"]) == (201, 3)
    with client.get("/offers/1/codes") as answer:
        assert answer.text == exported
    audit()


@pytest.mark.parametrize("code", ["7", "a", "_", "A_1", "50%", "a&b", "@home", "v1.2", "+x", "-%-"])
def test_a_chosen_code_may_be_short_and_have_signs(client, send, make, code):
    make.customer()
    body = {"email": ana, "offer_name": "KOI", "expiry": in_days(3), "code": code}
    assert client.post("/vouchers/generate", json=body).json == {"code": code}
    assert outcome(client.post("/vouchers/generate", json=body)) == (409, "voucher_exists")
    spelt = f" {code.lower()[:1]}-{code.upper()[1:]} "
    assert codes.normal_form(spelt) == codes.normal_form(code)
    assert outcome(client.redeem(spelt)) == (201, None)
    again = send(f'"{code}",', names="code,email", on_conflict="skip")
    assert again.json["skipped_lines"] == [2]


def test_wide_signs_are_the_plain_ones(client, send, make):
    make.customer()
    assert send("Ａ＿％＆．＠＋1,", names="code,email").status_code == 201
    assert outcome(client.redeem("a_%&.@+1")) == (201, None)


@pytest.mark.parametrize("code", ["", " - ", "x" * 65, "a!", "a/b", "a#b", "ä", "a,b", "a'b"])
def test_other_codes_are_refused(client, send, code):
    body = {"email": None, "offer_name": "KOI", "expiry": in_days(3), "code": code}
    answer = client.post("/vouchers/generate", json=body)
    assert (answer.status_code, list(answer.json["errors"])) == (422, ["code"])


@pytest.mark.parametrize(
    "query", [{"on_conflict": "overwrite"}, {"create_customers": "1"}, {"create_customers": ""}]
)
def test_wrong_options_are_422_and_named(send, query):
    answer = send("ONE,,,", **query)
    assert (answer.status_code, list(answer.json["errors"])) == (422, list(query))


def test_the_command_takes_a_campaign_over(app, client, send, tmp_path):
    send("OLD,", names="code,email")
    path = tmp_path / "codes.csv"
    path.write_text("code,email,max_redemptions,redemption_count\nOLD,,,\nNEW,x@example.org,2,1\n")
    options = ["--offer", "KOI", "--expiry", "2099-12-31", "--on-conflict", "skip"]
    arguments = ["vouchers", "import", str(path), *options, "--create-customers"]
    result = app.test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 0, result.output
    assert re.findall("(?:Imported|Skipped|Created) .*", result.stdout) == [
        "Imported 1 voucher.",
        "Skipped 1 line whose code exists.",
        "Created 1 customer.",
    ]
