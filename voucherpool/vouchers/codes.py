"""Generates codes, and brings them into the normal form in which they are compared.

The alphabet is Crockford's base 32 (https://www.crockford.com/base32.html): no I, L, O and U.
"""

import re
import secrets
import unicodedata
from struct import Struct

from voucherpool.input import formats

alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
length = 12  # 60 bits: with a million live codes, 10 guesses a second hit once in 3 700 years
group = 4
longest_spelling = 100

_by_byte = bytes(ord(alphabet[byte % 32]) for byte in range(256))
_normal = str.maketrans("abcdefghijklmnopqrstuvwxyzILO", "ABCDEFGH1JK1MN0PQRSTUVWXYZ110", " -")
_dash, _invisible = re.compile(f"[{formats.dash}]"), re.compile(f"[{formats.invisible}]")


def generate() -> str:
    """Return a new random code of 12 characters, spelt XXXX-XXXX-XXXX."""
    return in_groups(random_characters(length).decode())


def random_characters(count: int) -> bytes:
    """Return random characters of the alphabet, 5 random bits each."""
    return secrets.token_bytes(count).translate(_by_byte)


def of_pattern(pattern: str, count: int) -> dict[str, str]:
    """Return new codes by their normal forms, with a random character for each # of the pattern.

    There are `count`, or fewer if some are equal.
    """
    literals, runs = re.split("#+", pattern), re.findall("#+", pattern)
    layout = Struct("".join(f"{len(run)}s" for run in runs))
    code = "%b".join(literals).encode()
    key = "%b".join(map(normal_form, literals)).encode()
    made = layout.iter_unpack(random_characters(count * layout.size))
    return {(key % run).decode(): (code % run).decode() for run in made}


def in_groups(characters: str) -> str:
    """Return the characters with a dash after every fourth."""
    return "-".join(characters[at : at + group] for at in range(0, len(characters), group))


def spelling(code: str) -> str:
    """Return the spelling in which a code is kept: wide letters as plain ones, each dash as -.

    That is Unicode's NFKC, each blank as a space, and without invisible characters.
    """
    if code.isascii():
        return code.strip()
    visible = _invisible.sub("", unicodedata.normalize("NFKC", code))
    return "".join(" " if it.isspace() else it for it in _dash.sub("-", visible)).strip()


def normal_form(code: str) -> str:
    """Return the form in which codes are unique.

    Upper case, without blanks, dashes and invisible characters, O as 0, I and L as 1. A text that
    has other letters then equals no code.
    """
    return spelling(code).translate(_normal)
