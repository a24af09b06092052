"""The normal form of e-mails, and the form in which every mail server takes them."""

import unicodedata

import idna

longest_local, longest_label, longest_address = 64, 63, 254
"""The most bytes before the @ (RFC 5321, 4.5.3.1.1), in a part of the domain, and in all."""


def email_key(email: str) -> str:
    """Return the form in which e-mails are compared: lower case, Unicode's NFC, A-labels.

    casefold() would make straße@… and strasse@… one customer.
    """
    if email.isascii():
        return email.strip().lower()
    return unicodedata.normalize("NFC", deliverable(email.strip()).lower())


def deliverable(email: str) -> str:
    """Return the e-mail with a domain of A-labels, which needs no SMTPUTF8 (RFC 6531)."""
    local, at, domain = email.rpartition("@")
    return f"{local}{at}{a_labels(domain)}"


def has_ordinary_domain(email: str) -> bool:
    """Tell whether DNS and mail servers take the e-mail's domain, by the length of its A-labels."""
    address = deliverable(email)
    labels = address.rpartition("@")[2].split(".")
    # The part before the @ may have other letters and a limit of its own.
    return max(map(len, labels)) <= longest_label and len(address) <= longest_address


def a_labels(domain: str) -> str:
    """Return a domain as browsers and mail servers name it: xn--bcher-kva.example (UTS 46)."""
    if domain.isascii():
        return domain.lower()
    try:
        # By the rules of STD 3 nothing becomes a bracket, a comma or the like: ⑴ would be (1).
        mapped = idna.uts46_remap(domain, std3_rules=True)
    except idna.IDNAError:
        return domain  # it has a character that no domain has
    return ".".join(map(_a_label, mapped.split(".")))


def _a_label(label: str) -> str:
    return label if label.isascii() else f"xn--{label.encode('punycode').decode()}"
