"""Vouchers taken in as CSV, and given out as CSV."""

import codecs
import csv
import io
import re
import sys
import unicodedata
from decimal import Decimal

import pytest

from tests.builders import ana, ben, in_days
from voucherpool.files import layout

later = "2100-01-01T00:00:00Z"
header = "code,email,expires_at,max_redemptions,frozen_discount,disabled_at,redemption_count"
vouchers = """
    SELECT code_key, code, email, expires_at, max_redemptions, frozen_discount, disabled_at,
        batch_id
    FROM vouchers LEFT JOIN customers ON customers.id = customer_id ORDER BY issue_number"""


@pytest.fixture
def send(client):
    """Return a function that imports a text into the offer KOI and returns the answer."""
    client.post("/offers", json={"name": "KOI", "discount": 22.1})

    def send(text, query="", **headers):
        body = text if isinstance(text, bytes) else text.encode()
        return client.post(
            f"/offers/1/imports{query}",
            data=body,
            content_type=headers.pop("content_type", "text/csv"),
            headers=headers,
        )

    return send


@pytest.fixture
def errors(send):
    """Return a function that imports a text that must be refused, and returns the reasons."""

    def errors(text, query=f"?expiry={later}"):
        answer = send(text, query)
        assert (answer.status_code, answer.json["code"]) == (422, "validation_failed")
        return answer.json["errors"]

    return errors


def export(client, path="/offers/1/codes"):
    with client.get(path) as answer:
        assert answer.status_code == 200
        return answer.text


def test_a_file_becomes_vouchers(send, make, sql):
    make.customer(ana)
    text = (
        f"code,email,expires_at,max_redemptions,frozen_discount\n"
        f"summer-1,,{later},,\n"
        f"SUMMER-2, ANA@example.org ,2027-04-21T18:25:43-05:00,3,12.50\n"
    )
    answer = send(text)
    assert (answer.status_code, answer.json["imported"]) == (201, 2)
    first, second = sql(vouchers)
    assert (first.code, first.email, first.max_redemptions) == ("summer-1", None, 1)
    assert (second.code_key, second.email, second.max_redemptions) == ("SUMMER2", ana, 3)
    assert (str(second.frozen_discount), second.expires_at.isoformat()) == (
        "12.50",
        "2027-04-21T23:25:43+00:00",
    )


def test_imported_vouchers_are_redeemed_and_counted(client, send, make):
    make.customer(ana)
    send("code\nSUMMER-1\nSUMMER-2\n", f"?expiry={later}")
    redeemed = client.redeem("summer 1")
    assert redeemed.status_code == 201
    figures = client.get("/offers/1/stats").json
    assert (figures["issued"], figures["redeemed"], figures["open"]) == (2, 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        "code\r\nSUMMER-1\r\nSUMMER-2\r\n",
        "\ufeffcode\nSUMMER-1\nSUMMER-2",
        '"code"\n"SUMMER-1"\n\n"SUMMER-2"\n\n',
        " code ,email\nSUMMER-1,\nSUMMER-2,\n",
        "CODE;Email\nSUMMER-1;\nSUMMER-2;\n",
        "redemption_count,code\n0,SUMMER-1\n,SUMMER-2\n",
        "sep=;\r\ncode;email\r\nSUMMER-1;\r\nSUMMER-2;\r\n",
        '\ufeff"sep=\t"\ncode\temail\nSUMMER-1\t\nSUMMER-2\n',
        "\n;;\r\ncode;email\nSUMMER-1;\nSUMMER-2;\n",
        "code,email,,\nSUMMER-1,,,\n,,,\nSUMMER-2\n , ,\n",
        ",code,email\n,SUMMER-1\n,SUMMER-2,\n,,,,,,,\n",
        "code,expiry,max_redemptions\nSUMMER-1,2099-12-31,1\nSUMMER-2, 31.12.2099 \n",
        "code|email\nSUMMER-1|\nSUMMER-2|\n",
        "SEP=;\r\ncode;email\r\nSUMMER-1;\r\nSUMMER-2;\r\n",
        "sep=;;;\ncode;email\nSUMMER-1;\nSUMMER-2;\n",
        "sep=|\ncode|email\nSUMMER-1|\nSUMMER-2|\n",
        '"\ufeffcode"\nSUMMER-1\nSUMMER-2\n',
        "\n\ufeffcode\nSUMMER-1\nSUMMER-2\n",
        "Code;E-Mail;Expires At;Max Redemptions\nSUMMER-1;;Never;1\nSUMMER-2;;NEVER;\n",
        'code\n="SUMMER-1"\n"=""SUMMER-2"""\n',
        "code\nSUMMER-1\nSUMMER-2\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "code\nSUMMER-1\nSUMMER-2\n".encode("utf-16-be"),
    ],
)
def test_files_of_all_kinds_are_read(send, sql, text):
    assert send(text, f"?expiry={later}").status_code == 201
    assert [row.code for row in sql(vouchers)] == ["SUMMER-1", "SUMMER-2"]


@pytest.mark.parametrize("day", ["31.12.2099", "12/31/2099", "31/12/2099", "2099-12-31"])
def test_a_day_that_can_be_read_in_one_way_only_is_read(send, sql, day):
    assert send(f"code,expires_at\nSUMMER-1,{day}\n").status_code == 201
    assert str(sql(vouchers)[0].expires_at) == "2100-01-01 00:00:00+00:00"


def test_a_discount_may_have_a_decimal_comma(send, sql):
    assert send("code;frozen_discount\nSUMMER-1;12,5\n", f"?expiry={later}").status_code == 201
    assert sql(vouchers)[0].frozen_discount == Decimal("12.5")


def test_the_latest_day_is_checked_as_it_is_stored(errors, send, client):
    for cell in ("2199-12-31", "2199-12-31T23:59:59-05:00"):
        reasons = errors(f"code,expires_at\nSUMMER-1,{cell}\n")
        [reason] = reasons["line 2"]
        assert reason.endswith("2199-12-31T23:59:59Z; the last whole day is 2199-12-30.")
    client.post("/customers", json={"email": ana})
    line = f"code,email,expires_at\nSUMMER-{{}},{ana},2199-12-31\n"
    for number in (1, 2):
        assert send(line.format(number), "?timezone=Asia/Tokyo").status_code == 201
    page = client.get(f"/vouchers?email={ana}&limit=1")
    assert len(client.get(page.headers["Link"].partition(">")[0][1:]).json) == 1


@pytest.mark.parametrize(
    ("query", "end"),
    [("", "2099-07-01 00:00"), ("?timezone=Europe/Berlin", "2099-06-30 22:00")],
)
def test_a_voucher_that_expires_on_a_day_is_valid_until_it_ends(send, sql, query, end):
    assert send("code,expires_at\nSUMMER-1,2099-06-30\n", query).status_code == 201
    assert f"{sql(vouchers)[0].expires_at:%Y-%m-%d %H:%M}" == end


def test_an_unknown_time_zone_is_named(errors):
    assert list(errors("code\nSUMMER-1\n", f"?expiry={later}&timezone=Mars")) == ["timezone"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b"", 1, "including code"),
        (b"email\n", 1, "including code"),
        (b"code;colour\nSUMMER-1;\n", 1, "Unknown column 'colour'"),
        (b"code,colour\n", 1, "Unknown column 'colour'"),
        (b"code,code\n", 1, "each column once"),
        (b"expiry,code,expires_at\n", 1, "each column once; expiry is expires_at"),
        (b"code\nSUMMER-1,x\n", 2, "no content in a column without a name"),
        (b"code,,email\nSUMMER-1,x,\n", 2, "no content in a column without a name"),
        (b"code,max_redemptions\n,2\n", 2, "code: Must not be empty."),
        (b"code\nSUMMER-1\nX!\n", 3, "code: Must be 1 to 64"),
        (b"code\nSUMMER-1\n\n\nS\x00UMMER\n", 5, "code: "),
        (
            b"code\nSUMMER-1\nM\xfcller\n",
            3,
            "Must be UTF-8: save the file so, or name its encoding",
        ),
        ("code\nSUMMER-1\n".encode("utf-16-le"), 1, "Unknown column"),
        (b"code\n1.00E+05\n", 2, "May be 1E5 or 100000, which spreadsheets write as 1.00E+05"),
        (b'code\n"1,5E+12"\n', 2, "May be 1E5 or 100000, which spreadsheets write as 1.00E+05"),
        (b"code,expires_at\nSUMMER-1,31.02.2099\n", 2, "expires_at: Must be a day that exists."),
        (b"code,expires_at\nSUMMER-1,02/30/2099\n", 2, "expires_at: Must be a day that exists."),
        (b"code\nSUMMER-1\n" + b"x" * 20_000, 3, "at most 10000 bytes"),
        (b'code\nSUMMER-1\n"' + b'","\n' * 5000, 3, "a quote opens here and is not closed"),
        (b'code\n"SUMMER-1\n' + b"SUMMER-2\n" * 2000, 2, "a quote opens here and is not closed"),
        (b'code\n"SUMMER-1\nSUMMER-2\n"SUMMER-3"\n', 2, "a quote opens here and is not cl"),
        (b'code\n"SUMMER-1\nSUMMER-2"\nSUMMER-3\n', 2, "a quote opens here and is not closed"),
        (b'code\n"SUMMER-1\n', 2, "a quote opens here and is not closed"),
        (b'code\n"SUMMER"1\n', 2, "a quote inside of a cell twice"),
        (b"code\rSUMMER-1\r", 1, "LF or CRLF"),
        (b"code,email\nSUMMER-1,nobody@example.org\n", 2, "email: No customer"),
        (b"code,email\nSUMMER-1,nobody\n", 2, "email: Must be an e-mail"),
        (
            b"code,expires_at\nSUMMER-1,tomorrow\n",
            2,
            "expires_at: Must be a day, such as 2030-12-31, or",
        ),
        (b"code,expires_at\nSUMMER-1,01/02/2099\n", 2, "May mean 2099-01-02 or 2099-02-01: write"),
        (b"code,expires_at\nSUMMER-1,2099-12-31 12:00\n", 2, "expires_at: Must be a day"),
        (b"code,disabled_at\nSUMMER-1,2099-06-01T00:00:00Z\n", 2, "Must not be in the future."),
        (b"code,disabled_at\nSUMMER-1,2099-06-01\n", 2, "disabled_at: Must not be in the future"),
        (b"code,max_redemptions\nSUMMER-1,1.000\n", 2, "May mean 1000 or 1.000: write digits"),
        (b"code;max_redemptions\nSUMMER-1;1,000\n", 2, "May mean 1000 or 1.000: write digits"),
        (b"code,max_redemptions\nSUMMER-1,1.000.000\n", 2, "Must be a whole number"),
        (b"code,max_redemptions\nSUMMER-1,1.0\n", 2, "Must be a whole number, in digits"),
        (b"code,frozen_discount\nSUMMER-1,12.500\n", 2, "May mean 12500 or 12.500: write"),
        (b"code;frozen_discount\nSUMMER-1;1.000,50\n", 2, "Must be a number without grouping"),
        (b"code,expires_at\nSUMMER-1,2099-02-30\n", 2, "expires_at: "),
        (b"code,expires_at\nSUMMER-1,2020-04-21\n", 2, "expires_at: Must be in the future."),
        (b"code,expires_at\nSUMMER-1,2020-04-21T00:00:00Z\n", 2, "expires_at: Must be in the fut"),
        (b"code,max_redemptions\nSUMMER-1,0\n", 2, "max_redemptions: "),
        (b"code,max_redemptions\nSUMMER-1,1.5\n", 2, "max_redemptions: Must be a whole"),
        (b"code,max_redemptions\nSUMMER-1,-1\n", 2, "max_redemptions: Must be a whole"),
        ("code,max_redemptions\nSUMMER-1,２\n".encode(), 2, "max_redemptions: Must be a whole"),
        (b"code,max_redemptions\nSUMMER-1," + b"9" * 5000 + b"\n", 2, "Must be a whole"),
        (b"code,frozen_discount\nSUMMER-1,101\n", 2, "frozen_discount: "),
        (b"code,frozen_discount\nSUMMER-1,1.2345\n", 2, "at most 2 decimals"),
        (b"code,frozen_discount\nSUMMER-1,NaN\n", 2, "Must be a number"),
        (b"code,redemption_count\nSUMMER-1,2\n", 2, "redemption_count: Must not be above"),
        (b"code\nSUMMER-1\nSUMMER-2\nsummer 1\n", 4, "The same code as in line 2."),
    ],
)
def test_what_is_wrong_is_named_by_its_line_and_nothing_is_imported(errors, sql, text, line, words):
    reasons = errors(text)
    assert set(reasons) == {f"line {line}", "file"}
    assert words in reasons[f"line {line}"][0]
    assert reasons["file"][0].startswith("1 line is wrong")
    assert sql(vouchers) == []


def test_a_file_that_is_not_in_its_encoding_is_refused(errors, sql):
    reason = "Must be in the encoding that you name, or that its byte order mark says."
    for text, query in ((b"code\nSUMMER-\x81\n", "&encoding=windows-1252"), (b"\xff\xfec", "")):
        assert errors(text, f"?expiry={later}{query}") == {"file": [reason]}
    assert sql(vouchers) == []


def test_a_code_that_exists_is_named_in_any_spelling(errors, send, sql):
    send("code\nSUMMER-O1\n", f"?expiry={later}")
    assert errors("code\nNEW-1\nsummer-01\n") == {
        "line 3": ["code: A voucher with this code exists."],
        "file": ["1 line is wrong."],
    }
    assert len(sql(vouchers)) == 1


def test_a_code_that_was_archived_is_named_too(app, errors, make, sql):
    code = make.voucher(days=-100)
    app.test_cli_runner().invoke(args=["vouchers", "archive", "--older-than", "90d"])
    assert sql(vouchers) == []
    assert errors(f"code\n{code}\n")["line 2"] == ["code: A voucher with this code exists."]


def test_each_line_needs_an_expiry_of_its_own_or_for_all(errors):
    reasons = errors("code,expires_at\nSUMMER-1,\n", "")
    assert reasons["line 2"] == ["expires_at: Must be given, here or for all lines."]
    assert "expiry" in errors("code\nSUMMER-1\n", "?expiry=2020-01-01T00:00:00Z")
    assert "expiry" in errors("code\nSUMMER-1\n", "?expiry=soon")
    assert "until" in errors("code\nSUMMER-1\n", "?until=soon")


def test_the_first_100_wrong_lines_are_named_in_order_and_all_are_counted(errors):
    lines = ["SUMMER,", *["X!,"] * 60, *["summer,"] * 60, *["NEW-1,x"] * 60]
    reasons = errors("code,email\n" + "\n".join(lines))
    assert reasons.pop("file") == ["180 lines are wrong."]
    assert list(reasons) == [f"line {number}" for number in range(3, 103)]


def test_after_10_000_wrong_lines_no_more_is_read(errors):
    reasons = errors("code\n" + "x!\n" * 10_001)
    assert reasons["file"] == [
        "10000 lines are wrong; the lines after the last of them were not read."
    ]


def test_all_that_is_wrong_about_a_line_is_named(errors):
    reasons = errors("code,email,max_redemptions\nX!,y,z\n")
    assert [reason.partition(":")[0] for reason in reasons["line 2"]] == [
        "code",
        "email",
        "max_redemptions",
    ]


def test_10_000_empty_lines_are_skipped_and_no_more(errors, send, sql):
    assert send("code\n" + "\n" * 10_000 + "SUMMER-1\n", f"?expiry={later}").status_code == 201
    assert errors("code\n" + "\r\n" * 10_001 + "SUMMER-2\n") == {
        "line 10002": ["Must not be empty: 10000 lines before it are."],
        "file": ["1 line is wrong; the lines after the last of them were not read."],
    }
    assert len(sql(vouchers)) == 1


def test_only_csv_in_utf_8_is_taken(send, client):
    for content_type in ("application/json", "text/plain", "text/csv; charset=latin1", ""):
        answer = send("code\n", content_type=content_type)
        assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")
    for charset in ("UTF-8", "utf8", "us-ascii"):
        assert send("code\n", content_type=f"text/csv; charset={charset}").status_code == 201
    assert send("code\n", Content_Encoding="gzip").status_code == 415


def test_a_file_may_be_larger_than_other_bodies_and_has_a_limit(send, sql, monkeypatch):
    lines = (f"SUMMER-{number:05}".ljust(100) + "\n" for number in range(10_400))
    text = "code\n" + "".join(lines)
    assert len(text) > 2**20
    assert send(text, f"?expiry={later}").json["imported"] == 10_400
    monkeypatch.setattr("voucherpool.http.files.uploads.most_mebibytes", 1)
    answer = send(text)
    assert (answer.status_code, answer.json["code"]) == (413, "body_too_large")


def test_an_unknown_offer_or_batch_is_404(client):
    csv_file = {"data": "code\n", "content_type": "text/csv"}
    assert client.post("/offers/7/imports", **csv_file).json["code"] == "offer_not_found"
    assert client.get("/offers/7/codes").json["code"] == "offer_not_found"
    assert client.get("/batches/7/codes").json["code"] == "batch_not_found"


def test_a_repeat_under_the_same_key_gets_the_first_answer(send, sql):
    def repeat(text, query):
        return send(text, query, **{"Idempotency-Key": "k"})

    text, query = "code\nSUMMER-1\n", f"?expiry={later}"
    first, again = repeat(text, query), repeat(text, query)
    assert (first.data, again.data) == (first.data, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    for other in ((text + "SUMMER-2\n", query), (text, "?expiry=2101-01-01T00:00:00Z")):
        assert repeat(*other).json["code"] == "idempotency_key_reused"
    assert len(sql(vouchers)) == 1


def test_a_fixed_amount_is_frozen_to_the_minor_unit(client):
    offer = {"discount": 500, "discount_type": "fixed_amount", "currency": "JPY"}
    client.post("/offers", json={"name": "YEN", **offer})

    def send(discount):
        text = f"code,frozen_discount,expires_at\nYEN-{discount},{discount},{later}\n"
        return client.post("/offers/1/imports", data=text, content_type="text/csv").status_code

    assert [send(discount) for discount in ("250", "250.5", "0")] == [201, 422, 422]


@pytest.mark.parametrize(
    ("currency", "cell", "reason"),
    [
        ("EUR", "1.000", "May mean 1000 or 1.000: write digits without grouping."),
        ("EUR", "1,000", "May mean 1000 or 1.000: write digits without grouping."),
        ("LAK", "1.000", "May mean 1000 or 1.000: write digits without grouping."),
        ("JPY", "12.000", "May mean 12000 or 12.000: write digits without grouping."),
        ("EUR", "1.000,50", "Must be a number without grouping, such as 12.50."),
        ("EUR", "12.5000", "Must have at most 2 decimals."),
    ],
)
def test_a_grouped_amount_is_refused_by_the_decimals_of_its_currency(
    client, currency, cell, reason
):
    offer = {"discount": 5, "discount_type": "fixed_amount", "currency": currency}
    client.post("/offers", json={"name": "AMOUNT", **offer})
    text = f"code;frozen_discount;expires_at\nSUMMER-1;{cell};{later}\n"
    answer = client.post("/offers/1/imports", data=text, content_type="text/csv")
    assert answer.json["errors"]["line 2"] == [f"frozen_discount: {reason}"]


def test_an_export_is_a_file_with_a_header(client, make, sql):
    make.voucher(code="SUMMER", max_redemptions=5)
    sql("UPDATE vouchers SET frozen_discount = 12.50,"
        " expires_at = '2100-01-01 01:00:00.25+01', disabled_at = '2026-01-01Z'")  # fmt: skip
    with client.get("/offers/1/codes") as answer:
        text = answer.text
    assert text == (
        f"{header}\r\nSUMMER,{ana},2100-01-01T00:00:00.25Z,5,12.5,2026-01-01T00:00:00Z,0\r\n"
    )
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="offer-1.csv"'
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_batch_is_exported_without_the_rest_of_its_offer(app, client, make, sql):
    make.voucher()
    runner = app.test_cli_runner()
    runner.invoke(args=["vouchers", "issue", "KOI", "--count", "12000", "--expiry", in_days(1)])
    rows = list(csv.DictReader(io.StringIO(export(client, "/batches/1/codes"))))
    assert [row["code"] for row in rows] == [
        row.code
        for row in sql("SELECT code FROM vouchers WHERE batch_id = 1 ORDER BY issue_number")
    ]
    assert len(rows) == 12_000


formulas = ["=1+1@example.org", "+a@example.org", "-a@example.org", "＝1@example.org"]
texts = ["'=1@example.org", "''+1@example.org", "'a@example.org"]


@pytest.mark.parametrize("email", [*formulas, *texts])
def test_no_cell_is_a_formula_and_its_text_comes_back(client, make, send, sql, email):
    make.voucher(email, code="-SUMMER-1")
    before, file = sql(vouchers), export(client)
    cells = next(csv.DictReader(io.StringIO(file)))
    assert cells["code"] == "'-SUMMER-1"
    assert unicodedata.normalize("NFKC", cells["email"])[0] not in "=+-@"
    sql("DELETE FROM vouchers")
    assert send(file).status_code == 201
    assert sql(vouchers) == before


def test_a_sign_of_any_width_before_a_formula_is_known():
    letters = [chr(number) for number in range(sys.maxunicode + 1)]
    signs = {it for it in letters if unicodedata.normalize("NFKC", it).startswith(tuple("=+-@"))}
    known = re.findall(layout.formula.removeprefix("^'*"), "".join(letters))
    assert set(known) == signs | {"\t", "\r"}


def test_what_was_exported_can_be_imported_again(client, make, send, sql):
    for email in (ana, ben):
        make.voucher(email, max_redemptions=7)
    make.voucher(frozen_discount="12.5", disabled_at="2026-01-01T00:00:00.123456Z")
    make.voucher(customer_id=None, expires_at=later)
    sql("UPDATE vouchers SET expires_at = 'infinity' WHERE customer_id IS NULL")
    send("code\nsummer o1\n--SUMMER--2--\n", f"?expiry={later}")
    before, file = sql(vouchers), export(client)
    assert ",never," in file
    sql("DELETE FROM vouchers")
    assert send(file).json["imported"] == 6
    assert sql(vouchers) == before
    assert export(client) == file


def test_vouchers_of_an_erased_customer_do_not_come_back_as_anybodys(client, make):
    make.voucher(ana)
    kept = make.voucher(ben)
    assert client.delete("/customers/1").status_code == 204
    [_, line] = export(client).splitlines()
    assert line.startswith(f"{kept},{ben},")


def read(client, path):
    with client.get(path) as answer:
        return answer.data


def test_a_file_for_excel_begins_with_a_byte_order_mark(app, client, make):
    make.voucher("jürgen@example.org")
    marked = read(client, "/offers/1/codes?bom=true")
    assert marked == b"\xef\xbb\xbf" + read(client, "/offers/1/codes?bom=false")
    client.post("/offers/1/imports?expiry=2099-12-31", data="code\nA-1-B-2\n")
    run = app.test_cli_runner().invoke
    assert run(args=["vouchers", "export", "--offer", "KOI", "--bom"]).stdout_bytes == marked
    with client.post("/redemptions/export", json={"bom": True}) as answer:
        ledger = answer.data
    assert ledger.startswith(b"\xef\xbb\xbfid,")
    assert list(client.get("/offers/1/codes?bom=1").json["errors"]) == ["bom"]
