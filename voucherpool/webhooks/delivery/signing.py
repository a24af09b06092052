"""Secrets of webhooks, encrypted at rest, and signatures by the Standard Webhooks convention.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import standardwebhooks

from voucherpool.webhooks.errors import SecretKeyNotConfigured

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

prefix = "whsec_"
bytes_of_secret = 32


class SecretUnreadable(Exception):
    """None of the configured keys has encrypted the secret."""


def new_secret() -> str:
    """Return a new secret, as receivers configure it."""
    return prefix + base64.b64encode(secrets.token_bytes(bytes_of_secret)).decode()


def encrypt(keys: Sequence[str], secret: str) -> bytes:
    """Return a secret encrypted by the first key. Raises SecretKeyNotConfigured."""
    return _fernet(keys).encrypt(secret.encode())


def decrypt(keys: Sequence[str], token: bytes) -> str:
    """Return a secret that one of the keys encrypted.

    Raises SecretUnreadable and SecretKeyNotConfigured.
    """
    from cryptography.fernet import InvalidToken

    try:
        return _fernet(keys).decrypt(bytes(token)).decode()
    except InvalidToken as error:
        raise SecretUnreadable from error


def encrypt_again(keys: Sequence[str], token: bytes) -> bytes:
    """Return the same secret encrypted by the first key.

    Raises SecretUnreadable and SecretKeyNotConfigured.
    """
    return encrypt(keys, decrypt(keys, token))


def headers(secrets: Sequence[str], name: str, moment: datetime, body: str) -> Mapping[str, str]:
    """Return the headers that name and sign a message that is sent at the moment.

    Every secret signs. Pass a moment of PostgreSQL's clock: receivers refuse those that are minutes
    off, and this machine's clock may be.
    """
    utc = moment.astimezone(UTC)  # the library takes every moment for one in UTC
    signatures = [standardwebhooks.Webhook(secret).sign(name, utc, body) for secret in secrets]
    return {
        "webhook-id": name,
        "webhook-timestamp": str(int(utc.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _fernet(keys: Sequence[str]) -> "MultiFernet":
    # The library takes 7 MB, so only processes that need it load it.
    from cryptography.fernet import Fernet, MultiFernet

    if not keys:
        raise SecretKeyNotConfigured
    return MultiFernet([Fernet(key) for key in keys])
