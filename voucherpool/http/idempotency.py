"""One transaction for each write, and one answer for each Idempotency-Key.

The key, the work and the answer commit together
(https://brandur.org/http-transactions), so a process killed at any instant leaves either all of
them or nothing, and no key is ever stuck.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import NamedTuple, ParamSpec

from flask import Flask, Response, current_app, g, request
from psycopg2.errors import UniqueViolation
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    LargeBinary,
    Text,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model, db
from voucherpool.database.retries import LostRace, Repeatable
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import only_statement, transaction
from voucherpool.errors import IdempotencyKeyReused, InvalidInput, OutcomeUnknown
from voucherpool.http import redaction
from voucherpool.input import strict_json
from voucherpool.input.emails import email_key

Arguments = ParamSpec("Arguments")
View = Callable[Arguments, Response]

kept = "48 hours"
references = ("order_ref", "claim_ref")
"""The fields under which a write is known for ever."""
# The IETF's draft makes it a quoted string; most clients send it bare.
acceptable = re.compile(r'"[!-~]{1,255}"|[!#-~][!-~]{0,254}')


class IdempotencyKey(Model):
    """A key, what it stands for, and the answer that its repeats get.

    All API keys share them, so that a retry is known after its API key was replaced.
    `status` is NULL only inside the transaction that does the work.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("key ~ '^[!-~]{1,255}$'", name="key"),
        CheckConstraint("octet_length(fingerprint) = 32", name="fingerprint"),
        CheckConstraint("status BETWEEN 200 AND 299", name="status"),
        Index("idempotency_keys_used_at_idx", "used_at"),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int | None]
    body: Mapped[str | None]
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())


def init_app(app: Flask, redacted: Callable[[str], str]) -> None:
    """Let `redacted` take erased people out of each answer before it is stored."""
    app.extensions["redaction"] = redacted


def write(view: View[Arguments]) -> View[Arguments]:
    """Run a view in one transaction; with an Idempotency-Key, answer its repeats alike.

    What returns commits, what raises rolls back: a refused or failed request is decided again.
    When the database is lost at the commit, a request that names itself is Repeatable: it finds
    what it wrote, or that it wrote nothing. Others raise OutcomeUnknown. Raises LostRace when a
    concurrent request wrote the same unique key first.
    """
    return _writer(view, transaction)


def write_in_one_statement(view: View[Arguments]) -> View[Arguments]:
    """Run a view as `write` does, without a transaction around it unless there is a key.

    For a view that writes by one statement alone, which does all of it or nothing.
    """
    return _writer(view, only_statement)


def _writer(
    view: View[Arguments], without_key: Callable[[], AbstractContextManager[None]]
) -> View[Arguments]:
    @wraps(view)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Response:
        key = _key()
        opened = without_key if key is None else transaction
        try:
            with opened():
                return _answer(key, view, *args, **kwargs)
        except OutcomeUnknown as error:
            if key is not None or (args and _names_itself(args[0])):
                raise Repeatable from error
            raise
        except IntegrityError as error:
            if isinstance(error.orig, UniqueViolation):
                raise LostRace from error
            raise

    run.takes_idempotency_key = True  # type: ignore[attr-defined]
    return run


def _names_itself(body: object) -> bool:
    return isinstance(body, dict) and any(name in body for name in references)


def purge() -> int:
    """Forget the keys that nobody used for 48 hours; return how many.

    A repeat renews its key in the statement that reads it, so it finds all of it or nothing.
    """
    old = IdempotencyKey.used_at < func.now() - text(f"interval '{kept}'")
    gone = db.session.execute(delete(IdempotencyKey).where(old).returning(IdempotencyKey.key))
    return len(gone.all())


def forget_people(emails: Collection[str]) -> None:
    """Put null for the e-mails, and for the names beside them, into the answers that show them."""
    people = {email_key(email) for email in emails}
    # As JSON spells them; what it escapes is ASCII, so lower() need know no other letters.
    spellings = {json.dumps(spelling).lower() for spelling in {*emails, *people}}
    lower_body = func.lower(IdempotencyKey.body.collate("C"))
    showing = or_(*(func.strpos(lower_body, spelling) > 0 for spelling in sorted(spellings)))
    columns = select(IdempotencyKey.key, IdempotencyKey.body)
    # Most answers show nobody; to see that first takes a fraction of the time.
    found = columns.where(IdempotencyKey.body.contains('"email"'), showing)
    rows = db.session.execute(found.order_by("key").with_for_update()).all()
    cleared = [{"this": row.key, "text": redaction.without(row.body, people)} for row in rows]
    if cleared:
        db.session.execute(replace_body, cleared)


def _answer(
    key: str | None, view: View[Arguments], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Response:
    if key is None:
        return view(*args, **kwargs)
    fingerprint = _fingerprint()
    [claimed] = claim.all({"key": key, "fingerprint": fingerprint})
    if bytes(claimed.fingerprint) != fingerprint:
        raise IdempotencyKeyReused
    if claimed.status is not None:
        replayed = {"Idempotent-Replayed": "true"}
        return Response(claimed.body, claimed.status, replayed, "application/json")
    response = view(*args, **kwargs)
    text = current_app.extensions["redaction"](response.get_data(as_text=True))
    settle.run_with_commit({"this": key, "code": response.status_code, "text": text})
    return response


def _key() -> str | None:
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not acceptable.fullmatch(given):
        raise InvalidInput({"Idempotency-Key": ["Must be 1 to 255 visible ASCII characters."]})
    return given[1:-1] if given[0] == '"' else given


def _fingerprint() -> bytes:
    """Return what tells requests apart: method, path and the body's value, not its spelling."""
    canonical = json.dumps(
        [request.method, request.path, _value()], sort_keys=True, default=_canonical_number
    )
    return hashlib.sha256(canonical.encode()).digest()


def _value() -> object:
    """Return the value of a JSON body; of an uploaded file, its digest and the query."""
    if "upload_digest" in g:
        return [g.upload_digest, request.args]
    body = request.get_data()
    return strict_json.parse(body) if body else None


def _canonical_number(number: Decimal) -> int | dict[str, str]:
    whole = number.to_integral_value()
    return int(whole) if number == whole else {"decimal": f"{number.normalize():f}"}


# Waits for a concurrent request with this key, then reads its result.
_new_key = insert(IdempotencyKey.__table__).values(
    key=bindparam("key", type_=Text), fingerprint=bindparam("fingerprint", type_=LargeBinary)
)


class ClaimedKey(NamedTuple):
    """What a key stands for, and its answer once there is one."""

    fingerprint: bytes
    status: int | None
    body: str | None


claim = Statement(
    "claim_key",
    ClaimedKey,
    _new_key.on_conflict_do_update(
        index_elements=["key"], set_={"used_at": _new_key.excluded.used_at}
    ).returning(IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.body),
)

settle = Statement(
    "settle_key",
    tuple,
    update(IdempotencyKey.__table__)
    .where(IdempotencyKey.key == bindparam("this"))
    .values(status=bindparam("code", type_=BigInteger), body=bindparam("text", type_=Text)),
)

replace_body = (
    update(IdempotencyKey.__table__)
    .where(IdempotencyKey.key == bindparam("this"))
    .values(body=bindparam("text"))
)
