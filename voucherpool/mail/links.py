"""Signed links to unsubscribe; they hold a customer's id, no e-mail, and never expire."""

import hashlib
from collections.abc import Sequence

from itsdangerous import BadData, URLSafeSerializer

from voucherpool.mail.errors import LinkNotFound


def unsubscribe_url(public_url: str, keys: Sequence[str], customer_id: int) -> str:
    """Return the customer's link, signed under the first of the keys."""
    return f"{public_url}/unsubscribe/{_signer(keys).dumps(customer_id)}"


def customer_of(token: str, keys: Sequence[str]) -> int:
    """Return the customer's id in a token signed under one of the keys. Raises LinkNotFound."""
    try:
        customer_id = _signer(keys).loads(token) if keys else None
    except BadData:
        raise LinkNotFound from None
    if not isinstance(customer_id, int):
        raise LinkNotFound
    return customer_id


def _signer(keys: Sequence[str]) -> URLSafeSerializer:
    """Return a signer with keys derived for this purpose alone."""
    # itsdangerous signs with the last key.
    derived = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer([*reversed(keys)], salt="unsubscribe", signer_kwargs=derived)
