"""Users of the console, each in a browser of their own."""

import re
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from voucherpool.console.users import service as users
from voucherpool.database.transactions import transaction

password = "correct horse battery staple"
https = "https://vouchers.shop.example"


class Browser(FlaskClient):
    """A browser, which sends the forms of the pages that it has loaded."""

    def get_cookie_value(self) -> str:
        """Return the cookie of the session."""
        cookie = self.get_cookie("__Secure-voucherpool", "vouchers.shop.example", "/console")
        assert cookie is not None
        return cookie.value

    def load(self, path: str, **more: object) -> TestResponse:
        """Load a page of the console."""
        return self.get(f"/console{path}", base_url=https, **more)

    def send(self, path: str, fields: dict[str, str], of: str | None = None) -> TestResponse:
        """Send a form as the page `of` holds it, by default the page at the same path."""
        page = self.load(path if of is None else of).text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        return self.send_bare(path, hidden | fields)

    def send_bare(self, path: str, fields: dict[str, str]) -> TestResponse:
        """Send a form with just these fields."""
        return self.post(f"/console{path}", data=fields, base_url=https)

    def sign_in(self, email: str, word: str = password) -> TestResponse:
        """Send the form of the page that signs in."""
        return self.send("/sign-in", {"email": email, "password": word})


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords by the same algorithm, with the least work and memory."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(users, "hasher", quick)


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Return a browser in which nobody has signed in."""
    return Browser(app, app.response_class)


@pytest.fixture
def user(app: Flask) -> Callable[[str], str]:
    """Return a function that adds a user with a role, and returns the e-mail."""

    def run(role: str) -> str:
        email = f"{role}@shop.example"
        with app.app_context(), transaction():
            users.choose_password(users.add(email, role), password)
        return email

    return run


@pytest.fixture
def signed_in(app: Flask, user: Callable[[str], str]) -> Callable[[str], Browser]:
    """Return a function that returns a browser in which a user with the role has signed in."""

    def run(role: str) -> Browser:
        browser = Browser(app, app.response_class)
        answer = browser.sign_in(user(role))
        assert (answer.status_code, answer.location) == (302, "/console/"), answer.text
        return browser

    return run
