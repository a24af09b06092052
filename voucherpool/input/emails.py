"""The normal form of e-mails."""

import unicodedata


def email_key(email: str) -> str:
    """Return the form in which e-mails are compared: trimmed, lower case, Unicode's NFC.

    casefold() would make straße@… and strasse@… one customer.
    """
    return unicodedata.normalize("NFC", email.strip().lower())
