"""The form in which e-mails are compared."""

import unicodedata


def email_key(email: str) -> str:
    """Return the form in which an e-mail is found: trimmed, in lower case, in Unicode's NFC.

    Not casefold(), which would make one customer of straße@… and strasse@….
    """
    return unicodedata.normalize("NFC", email.strip().lower())
