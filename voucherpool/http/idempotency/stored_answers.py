"""The answers stored under Idempotency-Keys: kept for repeats, deleted when old, erased."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    LargeBinary,
    Text,
    bindparam,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model, db
from voucherpool.database.statements import Statement
from voucherpool.http.idempotency import redaction
from voucherpool.input.emails import email_key

kept_for = "48 hours"


class IdempotencyKey(Model):
    """A key, the fingerprint of its request, and the answer for repeats.

    All API keys share the keys, so a retry works after its API key was replaced. But `scope` is
    that of the request's route, so an API key blocks no keys of another scope. `status` is NULL
    only inside the transaction that does the work. `customer_ids` are the customers that the answer
    shows, NULL for none: an erasure finds it by them.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("key ~ '^[!-~]{1,255}$'", name="key"),
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        CheckConstraint("status BETWEEN 200 AND 299", name="status"),
        Index("idempotency_keys_used_at_idx", "used_at"),
        Index(
            "idempotency_keys_customer_ids_idx",
            "customer_ids",
            postgresql_using="gin",
            postgresql_where=text("customer_ids IS NOT NULL"),
        ),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int | None]
    body: Mapped[str | None]
    customer_ids: Mapped[list[int] | None] = mapped_column(ARRAY(BigInteger))
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())


def forget_old_keys() -> int:
    """Delete the keys unused for 48 hours; return how many.

    A repeat renews its key in the statement that reads it, so no key vanishes in between.
    """
    old = IdempotencyKey.used_at < func.now() - text(f"interval '{kept_for}'")
    gone = db.session.execute(delete(IdempotencyKey).where(old).returning(IdempotencyKey.key))
    return len(gone.all())


def erase(customer_id: int, emails: Collection[str]) -> None:
    """Replace a customer's e-mails, and the names beside them, by null in stored answers."""
    people = {email_key(email) for email in emails}
    for key, scope in db.session.execute(keys_showing, {"ids": [customer_id]}).all():
        # Locked one by one, because a cluster only locks rows that are named by their key.
        this = {"this": key, "in_scope": scope}
        body = db.session.scalar(lock_body, this)
        if body is not None:
            cleared = redaction.without(body, people)
            db.session.execute(replace_body, {**this, "text": cleared})


# Waits for a concurrent request with this key, then reads its result.
_new_key = insert(IdempotencyKey.__table__).values(
    key=bindparam("key", type_=Text),
    scope=bindparam("scope", type_=Text),
    fingerprint=bindparam("fingerprint", type_=LargeBinary),
)


class KnownKey(NamedTuple):
    """The fingerprint of a key's request, and its answer, if it has one."""

    fingerprint: bytes
    status: int | None
    body: str | None


take_key = Statement(
    "take_key",
    KnownKey,
    _new_key.on_conflict_do_update(
        index_elements=["key", "scope"], set_={"used_at": _new_key.excluded.used_at}
    ).returning(IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.body),
)

_this = (
    IdempotencyKey.key == bindparam("this"),
    IdempotencyKey.scope == bindparam("in_scope"),
)

store_answer = Statement(
    "store_answer",
    tuple,
    update(IdempotencyKey.__table__)
    .where(*_this)
    .values(
        status=bindparam("code", type_=BigInteger),
        body=bindparam("text", type_=Text),
        customer_ids=bindparam("customer_ids", type_=ARRAY(BigInteger)),
    ),
)

# IS NOT NULL, for the partial index.
keys_showing = (
    select(IdempotencyKey.key, IdempotencyKey.scope)
    .where(
        IdempotencyKey.customer_ids.is_not(None),
        IdempotencyKey.customer_ids.contains(bindparam("ids", type_=ARRAY(BigInteger))),
    )
    .order_by(IdempotencyKey.key, IdempotencyKey.scope)
)

lock_body = select(IdempotencyKey.body).where(*_this).with_for_update()

replace_body = update(IdempotencyKey.__table__).where(*_this).values(body=bindparam("text"))
