"""The console's edge: who may see a page, what protects it, and how its errors look."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import flask
from flask import Response, current_app, redirect, render_template, request, send_from_directory
from flask_login import AnonymousUserMixin, current_user
from flask_wtf.csrf import generate_csrf, validate_csrf
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse
from wtforms import ValidationError

from voucherpool.audit import actor
from voucherpool.console import shown, writing
from voucherpool.console.users import sessions
from voucherpool.console.users.sessions import Person
from voucherpool.database.errors import DatabaseUnavailable
from voucherpool.database.retries import retrying, unusable
from voucherpool.errors import NotFound, VoucherPoolError
from voucherpool.http.authentication import open_to_all
from voucherpool.http.bodies import current_request
from voucherpool.input.errors import InvalidInput
from voucherpool.observability import logs, metrics
from voucherpool.readiness.obstacles import Readiness
from voucherpool.webhooks.errors import SecretKeyNotConfigured

Refused = tuple[str, int, Mapping[str, str]]
Page = str | Refused | BaseResponse
View = TypeVar("View", bound=Callable[..., Page])

files = Path(__file__).with_name("files")
headers = {
    # No script and no style besides the files.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
        " img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    # Without a referrer browsers would send forms with the origin null, which looks foreign.
    "Referrer-Policy": "same-origin",
}
for_macros = {"csrf_token": generate_csrf, "form_key": writing.new_key, "shown": shown}
"""Macros use it, because they do not see the variables of a page."""
see_below = "Not done yet: see below what is wrong."
everybody = "everybody"
"""The scope of pages that need no user."""

blueprint = flask.Blueprint(
    "console", __name__, url_prefix=sessions.root, template_folder="templates"
)


class RoleInsufficient(VoucherPoolError, status=HTTPStatus.FORBIDDEN):
    detail = "Your role may not do this: ask an admin of the console."


class FormForged(VoucherPoolError, status=HTTPStatus.FORBIDDEN):
    detail = (
        "This form is too old, or another site sent it: go back, load the page again, and send it"
        " once more. The console needs cookies, and HTTPS."
    )


class PageNotFound(NotFound):
    detail = "There is no such page."


def page(rule: str, scope: str, *methods: str) -> Callable[[View], View]:
    """Make a view a page for users whose role has the scope; by default for GET.

    Its API key is not checked, because the user is (_admit).
    """

    def decorate(view: View) -> View:
        run = open_to_all(retrying(view))
        run.needs = scope  # type: ignore[attr-defined]
        blueprint.add_url_rule(rule, view.__name__, run, methods=methods or ("GET",))
        return view

    return decorate


@blueprint.before_request
def _admit() -> BaseResponse | None:
    """Let in who may see the page, and no form of another site."""
    if not current_app.config["SECRET_KEYS"]:
        # As a text: without a key there is no session, and so no page with a form.
        return Response(SecretKeyNotConfigured.detail, HTTPStatus.CONFLICT, mimetype="text/plain")
    view: Any = current_app.view_functions[request.endpoint or ""]
    needed = view.needs
    if needed != everybody and not current_user.is_authenticated:
        return redirect(flask.url_for("console.sign_in"))
    if request.method == "POST":
        _require_own_form()
    if needed != everybody:
        if not current_user.may(needed):
            raise RoleInsufficient
        act(current_user)
    return None


def act(person: Person) -> None:
    """Let the audit log name the person in what this request does."""
    actor.name(actor.Actor(name=f"console:{person.email}"))


def _require_own_form() -> None:
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError:
        raise FormForged from None


@blueprint.after_request
def _protect(response: Response) -> Response:
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response


@blueprint.context_processor
def _for_templates() -> dict[str, object]:
    return {"user": current_user}


@blueprint.errorhandler(VoucherPoolError)
def _refuse(error: VoucherPoolError) -> Refused:
    # Without a database nobody knows who the user is.
    somebody = {"user": AnonymousUserMixin()} if isinstance(error, DatabaseUnavailable) else {}
    return refused("error.html", error, **somebody)


@blueprint.errorhandler(HTTPException)
def _refuse_http(error: HTTPException) -> tuple[str, int] | HTTPException:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error
    return render_template("error.html", error=error.description), error.code


@blueprint.errorhandler(DBAPIError)
@blueprint.errorhandler(PoolTimeout)
def _refuse_unavailable(error: DBAPIError | PoolTimeout) -> Refused:
    readiness: Readiness = current_app.extensions["readiness"]
    if isinstance(error, unusable) or error.connection_invalidated or readiness.obstacle():
        return _refuse(DatabaseUnavailable())
    raise error


def refused(template: str, error: VoucherPoolError, **shown: Any) -> Refused:
    """Return a page that shows the error, with its status; count and log it like the API's."""
    metrics.refused(error.code())
    current_request().refusal = error.code()
    detail = see_below if error.detail == InvalidInput.detail else error.detail
    more = {"error": detail, "request_id": logs.request_id.get()}
    return render_template(template, **more | shown), error.status.value, error.headers


@page("/files/<string:name>", everybody)
def file(name: str) -> Response:
    """Serve a stylesheet, a script or a picture; browsers keep it for a day."""
    return send_from_directory(files, name, max_age=86400)


@page("/<path:unknown>", everybody)
def no_page(unknown: str) -> Page:
    """Say on a page that there is none, where the API would answer with JSON."""
    raise PageNotFound
