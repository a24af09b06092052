"""Codes."""

from collections import Counter

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


def test_letters_beyond_ascii_stay_what_they_are():
    assert codes.normal_form("ıſ\uff11") == "ıſ\uff11"
