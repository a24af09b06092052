"""Files as programs of everyday life save them, imported as they are.

LibreOffice 7.4 wrote them from one sheet, with the number formats of Germany and the USA. The line
ends, the byte order mark and `sep=;` are those of Windows, Excel's CSV UTF-8 and a shop system.

Three more are one workbook, as LibreOffice wrote it into an .xlsx and from there into files: the
plain CSV of a German Excel (semicolons, Windows-1252), a German Google sheet's (commas), and
"Unicode text" (tabs, UTF-16 with a byte order mark). Its codes look like numbers and dates.
"""

from pathlib import Path

import pytest

from tests.builders import ana, ben

folder = Path(__file__).with_name("real")


@pytest.fixture
def send(client, make):
    """Return a function that imports a file into the offer KOI and returns the answer."""
    for email in (ana, ben, "jürgen@xn--bcher-kva.example"):
        make.customer(email)
    client.post("/offers", json={"name": "KOI", "discount": 22.1})
    return lambda name, encoding="utf-8": client.post(
        f"/offers/1/imports?timezone=Europe/Berlin&encoding={encoding}",
        data=(folder / name).read_bytes(),
        content_type="text/csv",
    )


@pytest.mark.parametrize("name", ["german-excel.csv", "google-sheet.csv", "windows-shop.csv"])
def test_a_file_of_everyday_life_is_imported_unedited(send, sql, name):
    answer = send(name)
    assert answer.json["imported"] == 3, answer.text
    rows = sql(
        "SELECT code, customer_id, expires_at::text, max_redemptions, frozen_discount::float"
        " FROM vouchers ORDER BY code"
    )
    ends, summer = "2030-12-31 23:00:00+00", "2030-06-30 22:00:00+00"
    owner = 2 if name == "windows-shop.csv" else 3
    assert rows == [
        ("SOMMER-1", 1, ends, 3, 12.5),
        ("SOMMER-2", None, ends, 1000, 7.25),
        ("SOMMER-3", owner, summer, 1, None),
    ]


workbook = [
    ("german-excel-plain.csv", "windows-1252"),
    ("german-google-sheet.csv", "utf-8"),
    ("windows-unicode-text.csv", "utf-8"),
]
of_workbook = [
    ("00012", "jürgen@xn--bcher-kva.example", "2030-12-31 23:00:00+00", 3, 12.5),
    ("1E5", None, "2030-12-31 23:00:00+00", 1000, 7.25),
    ("GR-7", ben, "2030-06-30 22:00:00+00", 1, 0.5),
    ("MAR-10", ana, "2030-06-30 22:00:00+00", 1, None),
]
its_vouchers = """
    SELECT code, email_key, expires_at::text, max_redemptions, frozen_discount::float
    FROM vouchers LEFT JOIN customers ON customers.id = customer_id ORDER BY code"""


@pytest.mark.parametrize(("name", "encoding"), workbook)
def test_a_workbook_is_imported_from_each_of_its_files(send, sql, name, encoding):
    assert send(name, encoding).json["imported"] == 4
    assert sql(its_vouchers) == of_workbook


@pytest.mark.parametrize(("name", "encoding"), workbook)
def test_a_workbook_is_imported_by_the_command(app, send, sql, name, encoding):
    given = ["--timezone", "Europe/Berlin", "--encoding", encoding]
    file = str(folder / name)
    run = app.test_cli_runner().invoke
    done = run(args=["vouchers", "import", file, "--offer", "KOI", *given])
    assert "Imported 4 vouchers." in done.output
    assert sql(its_vouchers) == of_workbook


def test_plain_csv_without_its_encoding_is_refused_with_what_to_say(send, sql):
    answer = send("german-excel-plain.csv")
    assert "name its encoding" in answer.json["errors"]["line 2"][0]
    assert sql(its_vouchers) == []
