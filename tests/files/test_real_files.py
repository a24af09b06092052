"""Files as programs of everyday life save them, imported as they are.

LibreOffice 7.4 wrote them from one sheet, with the number formats of Germany and the USA. The line
ends, the byte order mark and `sep=;` are those of Windows, Excel's CSV UTF-8 and a shop system.
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
    return lambda name: client.post(
        "/offers/1/imports?timezone=Europe/Berlin",
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
