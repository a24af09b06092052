"""The console's users: their roles, passwords, and the tokens of links and sessions."""

import hashlib
import secrets
from collections.abc import Sequence
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from voucherpool.audit import service as audit
from voucherpool.console.users.models import ConsoleUser
from voucherpool.database.model import db
from voucherpool.errors import Conflict, NotFound
from voucherpool.input.emails import email_key
from voucherpool.mail.errors import LinkNotFound

roles = {
    "support": frozenset({"read", "support"}),
    "marketing": frozenset({"read", "support", "issue", "change"}),
    "admin": frozenset({"read", "support", "issue", "change", "admin"}),
}
"""The scopes of each role: those of API keys, and `change` for what only `admin` has there of
changing vouchers.
"""

link_hours = 24
least_password, most_password = 12, 200

# The smallest of the settings in the OWASP Password Storage Cheat Sheet, "Argon2id".
hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class UserExists(Conflict):
    detail = "A user of the console has this e-mail."


class UserNotFound(NotFound):
    detail = "No user of the console has this e-mail: `voucherpool console users list` shows all."


def add(email: str, role: str) -> str:
    """Add a user and return the token of the link to choose a password. Raises UserExists."""
    values = {"email": email, "email_key": email_key(email), "role": role}
    created = insert(ConsoleUser).values(**values, session_token=_new_token())
    unless = created.on_conflict_do_nothing(index_elements=[ConsoleUser.email_key])
    user_id = db.session.scalar(unless.returning(ConsoleUser.id))
    if user_id is None:
        raise UserExists
    audit.record("console_user.created", user_id, after={"email": email, "role": role})
    return _new_link(user_id)


def renew_link(email: str) -> str:
    """Return the token of a new link to choose a password. Raises UserNotFound."""
    return _new_link(named(email).id)


def change_role(email: str, role: str) -> None:
    """Change a user's role, which holds from the next page on. Raises UserNotFound."""
    user = named(email)
    audit.record("console_user.changed", user.id, {"role": user.role}, {"role": role})
    user.role = role


def remove(email: str) -> None:
    """Remove a user and end their sessions. Raises UserNotFound."""
    user = named(email)
    audit.record("console_user.deleted", user.id, {"email": user.email, "role": user.role})
    db.session.delete(user)


def everyone() -> Sequence[ConsoleUser]:
    """Return all users, by e-mail."""
    return db.session.scalars(select(ConsoleUser).order_by(ConsoleUser.email_key)).all()


def find(email: str) -> ConsoleUser | None:
    """Return the user with the e-mail, if there is one."""
    this = select(ConsoleUser).where(ConsoleUser.email_key == email_key(email))
    return db.session.scalars(this).one_or_none()


def named(email: str) -> ConsoleUser:
    """Return the user with the e-mail. Raises UserNotFound."""
    user = find(email)
    if user is None:
        raise UserNotFound
    return user


def of_link(token: str) -> ConsoleUser:
    """Return the user of a link that is still valid, locked. Raises LinkNotFound."""
    valid = (ConsoleUser.link_digest == _digest(token), ConsoleUser.link_until > func.now())
    user = db.session.scalars(select(ConsoleUser).where(*valid).with_for_update()).one_or_none()
    if user is None:
        raise LinkNotFound("This link was used or is too old: ask for a new one.")
    return user


def choose_password(token: str, password: str) -> None:
    """Give the user of the link this password, use the link up, and end the user's sessions.

    Raises LinkNotFound.
    """
    user = of_link(token)
    user.password = hasher.hash(password)
    user.link_digest = user.link_until = None
    user.session_token = _new_token()
    audit.record("console_user.password_set", user.id)


def with_password(email: str, password: str) -> ConsoleUser | None:
    """Return the user if the password is theirs; it takes as long for an unknown e-mail."""
    user = find(email)
    known = user.password if user else None
    try:
        hasher.verify(known or _of_nobody(), password)
    except VerificationError:
        return None
    return user if known else None


def note_sign_in(user_id: int | None) -> None:
    """Note that the user has signed in."""
    this = update(ConsoleUser).where(ConsoleUser.id == user_id)
    db.session.execute(this.values(signed_in_at=func.now()))
    audit.record("console_user.signed_in", user_id)


def end_sessions(user_id: int) -> None:
    """End all sessions of the user."""
    this = update(ConsoleUser).where(ConsoleUser.id == user_id)
    db.session.execute(this.values(session_token=_new_token()))
    audit.record("console_user.signed_out", user_id)


def of_session(token: str) -> ConsoleUser | None:
    """Return the user of a session that has not ended."""
    this = select(ConsoleUser).where(ConsoleUser.session_token == token)
    return db.session.scalars(this).one_or_none()


@cache
def _of_nobody() -> str:
    """Return a hash to compare with where nobody has the e-mail, so that the time tells nothing."""
    return hasher.hash(_new_token())


def _new_link(user_id: int) -> str:
    token = _new_token()
    until = func.now() + text(f"interval '{link_hours} hours'")
    this = update(ConsoleUser).where(ConsoleUser.id == user_id)
    db.session.execute(this.values(link_digest=_digest(token), link_until=until))
    return token


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _digest(token: str) -> bytes:
    # 256 random bits, so a plain digest is enough (NIST SP 800-63B, 5.1.2.2).
    return hashlib.sha256(token.encode()).digest()
