"""API keys: shown once, stored as a digest."""

import hashlib
import secrets
import string
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from voucherpool.apikeys.errors import ApiKeyExists, ApiKeyNotFound
from voucherpool.apikeys.models import ApiKey
from voucherpool.audit import service as audit
from voucherpool.database.model import db
from voucherpool.database.retries import retrying

scopes = {
    "issue": "issue and import vouchers; create and change customers and offers",
    "redeem": "redeem and hold vouchers, and give redemptions back",
    "read": "check and list vouchers; read customers, offers, redemptions and statistics",
    "support": "look up, search, disable and enable vouchers; give redemptions back",
    "admin": "what `support` may; export and erase customers; schedules and webhooks",
    "metrics": "read the metrics",
}

prefix = "vp_"
alphabet = string.digits + string.ascii_letters
secret_length = 40  # 238 bits of entropy, so a plain digest is enough (NIST SP 800-63B, 5.1.2.2)
checksum_length = 6

remembered_seconds = 2.0


def create(name: str, granted: Iterable[str]) -> str:
    """Create a key with the scopes and return it; only now is it shown. Raises ApiKeyExists."""
    secret = "".join(secrets.choice(alphabet) for _ in range(secret_length))
    key = prefix + secret + _checksum(secret)
    made = db.session.execute(
        insert(ApiKey)
        .values(
            name=name, digest=hashlib.sha256(key.encode()).digest(), scopes=sorted(set(granted))
        )
        .on_conflict_do_nothing(index_elements=[ApiKey.name])
        .returning(ApiKey.id)
    )
    key_id = made.scalar()
    if key_id is None:
        raise ApiKeyExists
    audit.record("api_key.created", key_id, after={"name": name, "scopes": sorted(set(granted))})
    return key


def revoke(name: str) -> None:
    """Revoke a key. Raises ApiKeyNotFound if no active key has the name."""
    revoked = db.session.execute(
        update(ApiKey)
        .where(ApiKey.name == name, ApiKey.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiKey.id)
    )
    key_id = revoked.scalar()
    if key_id is None:
        raise ApiKeyNotFound
    audit.record("api_key.revoked", key_id, before={"name": name})


def everyone() -> Sequence[ApiKey]:
    """Return all keys, revoked ones too, by name."""
    return db.session.scalars(select(ApiKey).order_by(ApiKey.name)).all()


class Grant(NamedTuple):
    """The scopes of a request, and the id and the name of its API key, None in open mode."""

    key_id: int | None
    name: str | None
    scopes: Sequence[str]


@dataclass
class KnownKeys:
    """The active keys that this process has looked up, by digest, each with when to forget it."""

    grants: dict[bytes, tuple[Grant, float]] = field(default_factory=dict)


def grant(key: str, memory: KnownKeys) -> Grant | None:
    """Return the grant of an active key, or None.

    A key is looked up again after 2 seconds, so a revoked one may work for that long.
    """
    digest, now = hashlib.sha256(key.encode()).digest(), time.monotonic()
    known, until = memory.grants.get(digest, (None, now))
    if until > now:
        return known
    memory.grants.pop(digest, None)
    found = find(key, digest)
    db.session.remove()  # return the connection before a slow body arrives
    if found is not None:
        memory.grants[digest] = found, now + remembered_seconds
    return found


@retrying
def find(key: str, digest: bytes) -> Grant | None:
    """Return the grant of a key that the database has, or None."""
    secret, checksum = key[len(prefix) : -checksum_length], key[-checksum_length:]
    if not (key.startswith(prefix) and key.isascii() and checksum == _checksum(secret)):
        return None  # misspelt: save the query
    active = (ApiKey.digest == digest, ApiKey.revoked_at.is_(None))
    found = db.session.execute(
        select(ApiKey.id, ApiKey.name, ApiKey.scopes, _is_stale.label("stale")).where(*active)
    ).one_or_none()
    if found is None:
        return None
    if found.stale:
        this = (ApiKey.id == found.id, _is_stale)
        db.session.execute(update(ApiKey).where(*this).values(last_used_at=func.now()))
    return Grant(found.id, found.name, [*found.scopes, *_included(found.scopes)])


def _included(granted: Iterable[str]) -> Sequence[str]:
    """Return the scopes that others of them include."""
    return ["support"] if "admin" in granted else []


_is_stale = func.coalesce(ApiKey.last_used_at < func.now() - text("interval '1 minute'"), True)


def _checksum(secret: str) -> str:
    number, digits = zlib.crc32(secret.encode()), ""
    for _ in range(checksum_length):
        number, digit = divmod(number, len(alphabet))
        digits += alphabet[digit]
    return digits
