"""One transaction for each write, and one answer for each Idempotency-Key.

The key, the work and the answer commit together (https://brandur.org/http-transactions), so a kill
at any instant leaves all of them or nothing, and no stuck key.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import Any, NamedTuple, ParamSpec

from flask import Flask, Response, current_app, g
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

from voucherpool.database import cluster
from voucherpool.database.model import Model, db
from voucherpool.database.retries import LostRace, Repeatable
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import committing, transaction
from voucherpool.errors import IdempotencyKeyReused, InvalidInput, OutcomeUnknown
from voucherpool.http import redaction
from voucherpool.http.bodies import Request, current_request
from voucherpool.input import strict_json
from voucherpool.input.emails import email_key

Arguments = ParamSpec("Arguments")
View = Callable[Arguments, Response]

kept_for = "48 hours"
references = ("order_ref", "claim_ref")
"""These fields identify a write even without an Idempotency-Key."""
# The IETF's draft quotes the key; most clients send it bare.
acceptable = re.compile(r'"[!-~]{1,255}"|[!#-~][!-~]{0,254}')


class IdempotencyKey(Model):
    """A key, the fingerprint of its request, and the answer for repeats.

    All API keys share the keys, so a retry works after its API key was replaced.
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
    """Store answers as `redacted` returns them, without erased people, and without secrets."""
    app.extensions["redaction"] = redacted


def write(view: View[Arguments]) -> View[Arguments]:
    """Run a view in one transaction; with an Idempotency-Key, repeats get the first answer.

    A refusal rolls back and is not remembered. If the connection is lost at the commit, raises
    Repeatable for a request with an Idempotency-Key or a reference, since a retry finds what it
    wrote, and OutcomeUnknown for others. Raises LostRace if another request wrote the same unique
    key first.
    """
    return _writer(view, lambda _: False)


def write_in_one_statement(
    unless: str = "",
) -> Callable[[View[Arguments]], View[Arguments]]:
    """Return a decorator for a view that writes by a single statement, which needs no transaction.

    It takes more statements, and so a transaction, if the body has the field `unless`.
    """
    return lambda view: _writer(view, lambda body: unless not in body)


def _writer(view: View[Arguments], is_one_statement: Callable[[Any], bool]) -> View[Arguments]:
    @wraps(view)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Response:
        key = _key()
        try:
            if key is not None:
                # BEGIN goes with the key's statement, and COMMIT with the answer's.
                with transaction(begin=False):
                    return _answer(key, view, *args, **kwargs)
            alone = is_one_statement(args[0]) and not cluster.is_cluster() if args else False
            with committing() if alone else transaction():
                return view(*args, **kwargs)
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


def forget_old_keys() -> int:
    """Delete the keys unused for 48 hours; return how many.

    A repeat renews its key in the statement that reads it, so no key vanishes in between.
    """
    old = IdempotencyKey.used_at < func.now() - text(f"interval '{kept_for}'")
    gone = db.session.execute(delete(IdempotencyKey).where(old).returning(IdempotencyKey.key))
    return len(gone.all())


def erase_emails(emails: Collection[str]) -> None:
    """Replace the e-mails, and the names beside them, by null in stored answers."""
    people = {email_key(email) for email in emails}
    # JSON escapes all but ASCII, so lower() in collation C is enough.
    spellings = {json.dumps(spelling).lower() for spelling in {*emails, *people}}
    lower_body = func.lower(IdempotencyKey.body.collate("C"))
    showing = or_(*(func.strpos(lower_body, spelling) > 0 for spelling in sorted(spellings)))
    # Checking first for any e-mail is faster: most answers have none.
    shows_any = or_(*(IdempotencyKey.body.contains(f'"{name}"') for name in redaction.fields))
    keys = select(IdempotencyKey.key).where(shows_any, showing).order_by(IdempotencyKey.key)
    for key in db.session.scalars(keys).all():
        # Locked in one order, so that two erasures do not deadlock.
        body = db.session.scalar(lock_body, {"this": key})
        if body is not None:
            cleared = redaction.without(body, people)
            db.session.execute(replace_body, {"this": key, "text": cleared})


def _answer(
    key: str, view: View[Arguments], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Response:
    fingerprint = _fingerprint()
    [known] = take_key.all({"key": key, "fingerprint": fingerprint}, before="BEGIN")
    if bytes(known.fingerprint) != fingerprint:
        raise IdempotencyKeyReused
    if known.status is not None:
        replayed = {"Idempotent-Replayed": "true"}
        return Response(known.body, known.status, replayed, "application/json")
    response = view(*args, **kwargs)
    shown = redaction.without_secret(response.get_data(as_text=True))
    text = current_app.extensions["redaction"](shown)
    with committing():
        answer = {"this": key, "code": response.status_code, "text": text}
        store_answer.run(answer, after="COMMIT")
    return response


def _key() -> str | None:
    given: str | None = current_request().environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    if not acceptable.fullmatch(given):
        raise InvalidInput({"Idempotency-Key": ["Must be 1 to 255 visible ASCII characters."]})
    return given[1:-1] if given[0] == '"' else given


def _fingerprint() -> bytes:
    """Return a digest of method, path and the body's value; the body's spelling does not matter."""
    request = current_request()
    canonical = json.dumps(
        [request.method, request.path, _value(request)], sort_keys=True, default=_canonical_number
    )
    return hashlib.sha256(canonical.encode()).digest()


def _value(request: Request) -> object:
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


class KnownKey(NamedTuple):
    """The fingerprint of a key's request, and its answer, if it has one."""

    fingerprint: bytes
    status: int | None
    body: str | None


take_key = Statement(
    "take_key",
    KnownKey,
    _new_key.on_conflict_do_update(
        index_elements=["key"], set_={"used_at": _new_key.excluded.used_at}
    ).returning(IdempotencyKey.fingerprint, IdempotencyKey.status, IdempotencyKey.body),
)

store_answer = Statement(
    "store_answer",
    tuple,
    update(IdempotencyKey.__table__)
    .where(IdempotencyKey.key == bindparam("this"))
    .values(status=bindparam("code", type_=BigInteger), body=bindparam("text", type_=Text)),
)

lock_body = (
    select(IdempotencyKey.body).where(IdempotencyKey.key == bindparam("this")).with_for_update()
)

replace_body = (
    update(IdempotencyKey.__table__)
    .where(IdempotencyKey.key == bindparam("this"))
    .values(body=bindparam("text"))
)
