"""Who uses the console: by a session, by a proxy that names them, or on this machine."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address

import flask
from flask import Flask, current_app
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, current_user, login_user

from voucherpool.config.environment import Network
from voucherpool.console.users import service as users
from voucherpool.console.users.models import ConsoleUser
from voucherpool.http import authentication
from voucherpool.http.bodies import current_request
from voucherpool.input import formats

root = "/console"
idle_for = timedelta(hours=12)
"""A session ends so long after its last page with a form."""


@dataclass(frozen=True)
class Person(UserMixin):  # type: ignore[misc]
    """Who uses the console; the `id` is None on this machine, in open mode."""

    id: int | None
    email: str
    role: str
    session_token: str = ""

    def get_id(self) -> str:
        """Return what the session's cookie keeps."""
        return self.session_token

    def may(self, scope: str) -> bool:
        """Tell whether the person's role has the scope."""
        return scope in users.roles[self.role]


local = Person(None, "local", "admin")


class Sessions(SecureCookieSessionInterface):
    """Keeps sessions in a signed cookie, which no request of the API reads."""

    digest_method = staticmethod(hashlib.sha256)

    def open_session(self, app: Flask, request: flask.Request) -> SecureCookieSession | None:
        """Return the session of a request to the console; None is no session."""
        is_console = request.environ.get("PATH_INFO", "").startswith(root)
        return super().open_session(app, request) if is_console else None


def init_app(app: Flask) -> None:
    """Read the users' sessions from now on."""
    newest, *older = app.config["SECRET_KEYS"] or (None,)
    is_open = app.config["OPEN_MODE"]
    app.config |= {
        "SECRET_KEY": newest,
        "SECRET_KEY_FALLBACKS": older,
        # On this machine there is no TLS.
        "SESSION_COOKIE_NAME": "voucherpool" if is_open else "__Secure-voucherpool",
        "SESSION_COOKIE_SECURE": not is_open,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_PATH": root,
        "PERMANENT_SESSION_LIFETIME": idle_for,
        "WTF_CSRF_TIME_LIMIT": None,  # as long as the session
    }
    app.session_interface = Sessions()
    manager = LoginManager()
    manager.session_protection = None  # phones change their address
    manager.user_loader(_of_session)
    manager.request_loader(_of_request)
    # Not by init_app(), which would let each answer of the API look for a cookie.
    app.login_manager = manager  # type: ignore[attr-defined]


def begin(signed_in: Person) -> None:
    """Begin a session; nothing of an earlier one stays in its cookie."""
    flask.session.clear()
    flask.session.permanent = True
    login_user(signed_in)


def end() -> None:
    """Forget the session, and let all other sessions of its user end."""
    if current_user.id is not None:
        users.end_sessions(current_user.id)
    flask.session.clear()


def with_password() -> bool:
    """Tell whether people sign in with a password: without a proxy that names them."""
    return current_app.config["CONSOLE_USER_HEADER"] is None


def person(user: ConsoleUser) -> Person:
    """Return a user as one who uses the console."""
    return Person(user.id, user.email, user.role, user.session_token)


def _of_session(token: str) -> Person | None:
    user = users.of_session(token) if with_password() else None
    return person(user) if user else None


def _of_request(request: flask.Request) -> Person | None:
    config = current_app.config
    if config["OPEN_MODE"] and authentication.is_local(current_request()):
        return local
    named = request.headers.get(config["CONSOLE_USER_HEADER"] or "", "")
    if formats.mailbox.fullmatch(named) and _is_within(
        request.remote_addr, config["CONSOLE_PROXIES"]
    ):
        user = users.find(named)
        return person(user) if user else None
    return None


def _is_within(address: str | None, networks: Iterable[Network]) -> bool:
    """Tell whether the peer is in one of the networks; the peer of a socket file is in none."""
    try:
        peer = ip_address(address or "")
    except ValueError:
        return False
    return any(peer in network for network in networks)
