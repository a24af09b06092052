"""The customers' routes."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response

from voucherpool.customers import schemas, service
from voucherpool.database.transactions import transaction
from voucherpool.erasure.service import service
from voucherpool.errors import CustomerExists, CustomerNotFound
from voucherpool.http.idempotency import write
from voucherpool.http.openapi import Blueprint

blueprint = Blueprint("customers", __name__, url_prefix="/customers")


def holds_ended(view: Callable[..., Response]) -> Callable[..., Response]:
    """End the holds of an erased customer in a transaction of its own, also when asked again.

    In one transaction with the erasure it would deadlock with the customer's redemptions.
    """

    @wraps(view)
    def run(customer_id: int) -> Response:
        try:
            return view(customer_id)
        finally:
            with transaction():
                service.end_holds(customer_id)

    return run


@blueprint.post("")
@blueprint.guarded("issue", CustomerExists)
@blueprint.arguments(schemas.NewCustomer())
@write
@blueprint.response(201, schemas.Customer())
def create_customer(body: dict[str, Any]) -> Any:
    """Make a customer."""
    return service.create(**body)


@blueprint.get("")
@blueprint.guarded("read")
@blueprint.arguments(schemas.ListRequest(), location="query")
@blueprint.response(200, schemas.Customers())
def list_customers(query: dict[str, Any]) -> Any:
    """List the customers, the oldest first, or the one of an e-mail."""
    return service.list_customers(query["limit"], query.get("email"), query.get("cursor"))


@blueprint.get("/<id:customer_id>")
@blueprint.guarded("read", CustomerNotFound)
@blueprint.response(200, schemas.Customer())
def read_customer(customer_id: int) -> Any:
    """Read a customer."""
    return service.read(customer_id)


@blueprint.patch("/<id:customer_id>")
@blueprint.guarded("issue", CustomerNotFound, CustomerExists)
@blueprint.arguments(schemas.CustomerChanges(), required=False)
@write
@blueprint.response(200, schemas.Customer())
def change_customer(body: dict[str, Any], customer_id: int) -> Any:
    """Change a customer's e-mail or name."""
    return service.change(customer_id, **body)


@blueprint.delete("/<id:customer_id>")
@blueprint.guarded("admin", CustomerNotFound)
@holds_ended
@write
@blueprint.response(204)
def erase_customer(customer_id: int) -> None:
    """Erase a person: e-mail and name are forgotten, redemptions stay under an id."""
    service.erase(customer_id)
