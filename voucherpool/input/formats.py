"""Patterns for texts, checked by the fields and published in the OpenAPI document.

OpenAPI uses ECMA 262, so they are anchored and avoid abbreviations that only Python has.
"""

import re

control = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
blank = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # str.strip()
line = re.compile(f"^[{blank}]*[^{control}{blank}](?:[^{control}]*[^{control}{blank}])?[{blank}]*$")
# Unicode's Default_Ignorable_Code_Point, the blank of Braille and the place of a lost picture: two
# addresses must not differ in what nobody sees.
invisible = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc"
    # ECMA has another escape for these, so they stand here themselves.
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
unseen = f"{control}{blank}{invisible}"
name = re.compile(f"^[{blank}]*[^{unseen}](?:[^{control}{invisible}]*[^{unseen}])?[{blank}]*$")
# Pd of Unicode, and what keyboards give and eyes take for a dash.
dash = (
    r"\-\u02d7\u058a\u05be\u1400\u1806\u2010-\u2015\u2043\u2053\u207b\u208b\u2212\u2e17\u2e1a"
    r"\u2e3a\u2e3b\u2e40\u2e5d\u301c\u3030\u30a0\u30fc\ufe31\ufe32\ufe58\ufe63\uff0d\uff70"
)
# Full-width, small and vertical forms of "(),.:;<>@[\], which NFKC turns into these.
separator_forms = (
    r"\u037e\u2024\u207d\u207e\u208d\u208e\ufe10-\ufe19\ufe30-\ufe6b"
    r"\uff02\uff08\uff09\uff0c\uff0e\uff1a-\uff1c\uff1e\uff20\uff3b-\uff3d"
)
atom = rf'[^{unseen}{separator_forms}"(),.:;<>@\[\\\]]+'
label = rf"[^{unseen}{separator_forms}!-,./:-@\[-`{{-~]"
# An encoded word may stand for several addresses, so an address holds none (RFC 2047, 5).
no_encoded_word = r"(?![^@]*=\?)"
mailbox = re.compile(
    rf"^[{blank}]*{no_encoded_word}{atom}(?:\.{atom})*"
    rf"@(?:localhost|(?:{label}+\.)+{label}{{2,}})[{blank}]*$"
)
clock = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
full_date = "2[01][0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
day = re.compile(f"^{full_date}$")
local_time = rf"{full_date}[Tt]{clock}:[0-5][0-9](?:\.[0-9]{{1,9}})?"
rfc3339 = re.compile(rf"^{local_time}(?:[Zz]|[+-]{clock})$")
day_or_rfc3339 = re.compile(rf"^(?:{full_date}|{local_time}(?:[Zz]|[+-]{clock}))$")
decimal = re.compile(r"^[0-9]{1,13}(?:\.[0-9]{1,25})?$")
base64url = re.compile("^[0-9A-Za-z_-]{1,200}$")
# A code, also in the wide letters and digits of a Japanese keyboard; the dropped characters join.
letter = r"0-9A-Za-z\uff10-\uff19\uff21-\uff3a\uff41-\uff5a"
joint = rf" \xa0\u1680\u2000-\u200a\u202f\u205f\u3000{dash}{invisible}"
sign = r"%&+.@_\uff05\uff06\uff0b\uff0e\uff20\uff3f"
issuable_code = re.compile(
    f"^[{blank}]*[{joint}]*(?:[{letter}{sign}][{joint}]*){{1,64}}[{blank}]*$"
)
code_prefix = re.compile(f"^[{blank}]*[{joint}]*(?:[{letter}][{joint}]*)+[{blank}]*$")
code_pattern = re.compile(
    rf"^[{blank}]*[{letter}{joint}]*(?:[#\uff03][{letter}{joint}]*){{10,32}}[{blank}]*$"
)
cron = re.compile(r"^[0-9A-Za-z*,/#-]+(?: +[0-9A-Za-z*,/#-]+){4}$")
duration = re.compile("^[1-9][0-9]{0,6}[dhm]$")
period = re.compile(
    "^P(?=.*[1-9])(?:[0-9]{1,2}Y)?(?:[0-9]{1,2}M)?(?:[0-9]{1,3}W)?(?:[0-9]{1,4}D)?$"
)
host_name = r"[0-9A-Za-z](?:[0-9A-Za-z._-]{0,251}[0-9A-Za-z])?"
port = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
# No user, no fragment. One pattern checks an address and takes it apart, so both see the same host.
host = rf"{host_name}|\[[0-9A-Fa-f:.]{{2,45}}\]"
http_url = re.compile(rf'^[{blank}]*(https?)://({host})(?::({port}))?([/?][!"$-~]*)?[{blank}]*$')
language = re.compile("^[a-z]{2}$")
visible = re.compile(f"^[{blank}]*[!-~]+[{blank}]*$")
