"""The normal form of the names and references by which things are found."""

import unicodedata


def normal_form(name: str) -> str:
    """Return the form in which a name is stored and compared: Unicode's NFC, blanks folded."""
    return " ".join(unicodedata.normalize("NFC", name).split())
