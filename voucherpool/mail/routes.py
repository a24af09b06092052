"""The public link that ends e-mails, and the routes with which support ends them."""

from datetime import datetime

from flask import Response, current_app

from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database.errors import DatabaseUnavailable
from voucherpool.database.transactions import transaction
from voucherpool.http.routes import Blueprint, public
from voucherpool.mail import composing, links, schemas, service
from voucherpool.mail.errors import LinkNotFound

blueprint = Blueprint("mail", __name__, description="Unsubscribing customers from e-mails.")

page = {"200": {"description": "A page for people", "content": {"text/html": {}}}}
policy_of_page = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)


@blueprint.get(
    "/unsubscribe/<string:token>",
    scope=public,
    refuses=(LinkNotFound, DatabaseUnavailable),
    documented={"responses": page},
)
def show_unsubscribe(token: str) -> Response:
    """Show the page with the button to unsubscribe."""
    return _page(_customer_of(token), is_done=False)


@blueprint.post(
    "/unsubscribe/<string:token>",
    scope=public,
    refuses=(LinkNotFound, DatabaseUnavailable),
    documented={"responses": page},
)
def unsubscribe(token: str) -> Response:
    """End e-mails to the customer of the signed link (RFC 8058); needs no key."""
    customer_id = _customer_of(token)
    with transaction():
        service.opt_out(customer_id)
    return _page(customer_id, is_done=True)


def _customer_of(token: str) -> int:
    return links.customer_of(token, current_app.config["SECRET_KEYS"])


def _page(customer_id: int, *, is_done: bool) -> Response:
    language = service.language_of(customer_id)
    html = composing.unsubscribe_page(language, current_app.config["TEXTS"], is_done=is_done)
    return Response(html, headers={"Content-Security-Policy": policy_of_page}, mimetype="text/html")


@blueprint.get(
    "/customers/<id:customer_id>/opt-out",
    scope="admin",
    answer=(200, schemas.OptOut()),
    refuses=(CustomerNotFound,),
)
def read_opt_out(customer_id: int) -> dict[str, datetime | None]:
    """Read whether a customer has opted out of e-mails."""
    return {"opted_out_at": service.opted_out_at(customer_id)}


@blueprint.put(
    "/customers/<id:customer_id>/opt-out",
    scope="admin",
    answer=(200, schemas.OptOut()),
    refuses=(CustomerNotFound,),
    writes=True,
)
def opt_out(customer_id: int) -> dict[str, datetime | None]:
    """Opt a customer out of e-mails."""
    return {"opted_out_at": service.change_opt_out(customer_id, opted_out=True)}


@blueprint.delete(
    "/customers/<id:customer_id>/opt-out",
    scope="admin",
    answer=(200, schemas.OptOut()),
    refuses=(CustomerNotFound,),
    writes=True,
)
def opt_in(customer_id: int) -> dict[str, datetime | None]:
    """Send a customer e-mails again."""
    return {"opted_out_at": service.change_opt_out(customer_id, opted_out=False)}
