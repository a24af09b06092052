"""Codes: how they are made, and the one form in which they are compared.

The alphabet is Crockford's base 32 (https://www.crockford.com/base32.html), which leaves out
the letters that are read as digits (I, L, O) and U.
"""

import secrets

alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
length = 12  # 60 bits: a million live codes and 10 guesses a second make one hit in 3 700 years
group = 4
longest_spelling = 100


_ignored = " -\u00a0\u00ad\u2010\u2011\u2012\u2013\u2014\u2212"  # as copied out of an e-mail
_normal = str.maketrans("abcdefghijklmnopqrstuvwxyzILO", "ABCDEFGH1JK1MN0PQRSTUVWXYZ110", _ignored)


def generate() -> str:
    """Return a new random code of 12 characters, spelt XXXX-XXXX-XXXX."""
    characters = "".join(secrets.choice(alphabet) for _ in range(length))
    return "-".join(characters[at : at + group] for at in range(0, length, group))


def normal_form(code: str) -> str:
    """Return the form in which codes are unique.

    Upper case, spaces and dashes dropped, O read as 0, I and L as 1. Only ASCII letters change,
    so a text with others equals no code.
    """
    return code.translate(_normal)
