"""The customers' routes."""

from typing import Any

from voucherpool.customers import schemas, service
from voucherpool.errors import CustomerExists, CustomerNotFound
from voucherpool.http.idempotency import write
from voucherpool.http.openapi import Blueprint

blueprint = Blueprint("customers", __name__, url_prefix="/customers")


@blueprint.post("")
@blueprint.guarded("issue", CustomerExists)
@blueprint.arguments(schemas.NewCustomer())
@write
@blueprint.response(201, schemas.Customer())
def create_customer(body: dict[str, Any]) -> Any:
    """Create a customer."""
    return service.create(**body)


@blueprint.get("")
@blueprint.guarded("read")
@blueprint.arguments(schemas.ListRequest(), location="query")
@blueprint.response(200, schemas.Customers())
def list_customers(query: dict[str, Any]) -> Any:
    """List the customers, the oldest first, or only the one with an e-mail."""
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
