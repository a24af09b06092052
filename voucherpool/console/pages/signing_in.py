"""The pages on which users sign in and out, and choose their passwords."""

from http import HTTPStatus

from flask import current_app, flash, redirect, render_template, request, url_for

from voucherpool.apikeys import failed_attempts
from voucherpool.console.edge import Page, act, everybody, page, refused
from voucherpool.console.users import service as users
from voucherpool.console.users import sessions
from voucherpool.console.users.sessions import Person
from voucherpool.console.writing import writing
from voucherpool.errors import VoucherPoolError
from voucherpool.http import throttle
from voucherpool.input import formats
from voucherpool.input.errors import InvalidInput


class PasswordWrong(VoucherPoolError, status=HTTPStatus.FORBIDDEN):
    detail = "E-mail or password is wrong."


@page("/sign-in", everybody, "GET", "POST")
def sign_in() -> Page:
    """Let a user sign in; in open mode and behind a proxy there is nothing to do."""
    if request.method != "POST":
        return render_template("sign_in.html", with_password=sessions.with_password())
    email, password = request.form.get("email", ""), request.form.get("password", "")
    try:
        person = _with_password(email, password)
    except VoucherPoolError as error:
        return refused("sign_in.html", error, with_password=True, email=email)
    with writing():
        act(person)
        users.note_sign_in(person.id)
    sessions.begin(person)
    return redirect(url_for("console.overview"))


def _with_password(email: str, password: str) -> Person:
    """Return the user. Raises PasswordWrong, and TooManyFailedAttempts before it looks."""
    possible = formats.mailbox.fullmatch(email) and len(password) <= users.most_password
    if not (possible and sessions.with_password()):
        raise PasswordWrong
    most = current_app.config["FAILED_ATTEMPTS_PER_EMAIL"]
    subject = failed_attempts.of_console_user(email, most)
    if not throttle.refuses_nobody():
        throttle.refuse_if_over(subject)
    user = users.with_password(email, password)
    if user is None:
        with writing():
            throttle.count(subject)
        raise PasswordWrong
    return sessions.person(user)


@page("/sign-out", "read", "POST")
def sign_out() -> Page:
    """End all sessions of the user, on other machines too."""
    with writing():
        sessions.end()
    return redirect(url_for("console.sign_in"))


@page("/password/<string:token>", everybody, "GET", "POST")
def choose_password(token: str) -> Page:
    """Let the user of a link choose a password, once."""
    if request.method != "POST":
        return render_template("password.html", email=users.of_link(token).email)
    try:
        with writing():
            users.choose_password(token, _new_password())
    except InvalidInput as error:
        return refused("password.html", error, reasons=error.errors)
    flash("Your password is set: sign in with it.")
    return redirect(url_for("console.sign_in"))


def _new_password() -> str:
    """Return the password that the form gives twice. Raises InvalidInput."""
    password = request.form.get("password", "")
    if not users.least_password <= len(password) <= users.most_password:
        most = f"{users.least_password} to {users.most_password}"
        raise InvalidInput({"password": [f"Must have {most} characters."]})
    if password != request.form.get("again"):
        raise InvalidInput({"again": ["Differs from the password above."]})
    return password
