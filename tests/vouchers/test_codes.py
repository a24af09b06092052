"""Codes."""

import unicodedata
from collections import Counter

import pytest

from tests.builders import in_days
from voucherpool.vouchers import codes


def test_a_generated_code_has_12_characters_of_crockfords_alphabet():
    for _ in range(1000):
        key = codes.normal_form(codes.generate())
        assert len(key) == 12
        assert set(key) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def test_every_character_is_equally_likely():
    counts = Counter("".join(codes.generate().replace("-", "") for _ in range(8000)))
    mean = 8000 * 12 / 32
    chi_square = sum((count - mean) ** 2 / mean for count in counts.values())
    assert len(counts) == 32
    assert chi_square < 80  # 31 degrees of freedom: more than this happens once in 300 000 runs


def test_the_normal_form_of_a_normal_form_is_itself():
    key = codes.normal_form("il-o 0u z\u2013y")
    assert key == "1100UZY"
    assert codes.normal_form(key) == key


@pytest.mark.parametrize(
    "spelling",
    [
        "SAVE－1234",
        "SAVEー1234",
        "ｓａｖｅ　１２３４",
        "SAVE\u2012\u200b1234",
        "S\u00adAVE\u202f1\ufe0f234\u2060",
        "save~1234".replace("~", "\u301c"),
        "SAVE\u28001234\ufffc",
    ],
)
def test_every_spelling_that_a_keyboard_or_an_e_mail_gives_is_the_same_code(client, spelling):
    terms = {"email": None, "offer_name": "KOI", "discount": 5, "expiry": in_days(1)}
    issued = client.post("/vouchers/generate", json=terms | {"code": spelling})
    assert codes.normal_form(issued.json["code"]) == "SAVE1234"
    assert issued.json["code"].isascii()
    assert client.check("SAVE-1234", None).json["redeemable"]
    assert client.check(spelling, None).json["redeemable"]
    text = f"code,expiry\n{spelling},2099-12-31\n"
    again = client.post("/offers/1/imports", data=text, content_type="text/csv")
    assert "A voucher with this code exists." in again.text


def test_a_batch_takes_its_prefix_and_pattern_in_any_spelling(client):
    client.post("/offers", json={"name": "KOI", "discount": 5})
    for code in ({"prefix": "ＳＡＶＥー"}, {"pattern": "save－＃＃＃＃＃＃＃＃＃＃"}):
        batch = {"count": 1, "expiry": in_days(1), "code": code}
        assert client.post("/offers/1/batches", json=batch).status_code == 202


def test_letters_beyond_ascii_stay_what_they_are():
    assert codes.normal_form("ıéж") == "ıéж"


def test_every_dash_and_blank_of_unicode_is_dropped():
    dashes_and_blanks = {
        it for it in map(chr, range(0x110000)) if unicodedata.category(it) in ("Pd", "Zs", "Cf")
    }
    kept = set(filter(codes.normal_form, dashes_and_blanks))
    assert kept <= odd_format_characters


odd_format_characters = {
    *map(chr, [*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]),
    *map(chr, [*range(0x13430, 0x13456), 0x10D6E, 0x10EAD]),
}
"""Of Arabic, Syriac, Kaithi, hieroglyphs, Garay and Yezidi: JavaScript names none of them."""
