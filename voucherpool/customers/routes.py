"""The customers' routes."""

from voucherpool.customers import schemas, service
from voucherpool.customers.models import Customer
from voucherpool.database.paging import Page
from voucherpool.errors import CustomerExists, CustomerNotFound
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write

blueprint = Blueprint(
    "customers", __name__, url_prefix="/customers", description="People, known by e-mail."
)


@blueprint.post("")
@blueprint.guarded("issue", CustomerExists)
@blueprint.arguments(schemas.NewCustomer())
@write
@blueprint.response(201, schemas.Customer())
def create_customer(body: Fields) -> Customer:
    """Create a customer."""
    return service.create(**body)


@blueprint.get("")
@blueprint.guarded("read")
@blueprint.arguments(schemas.ListRequest(), location="query")
@blueprint.response(200, schemas.customers_page)
def list_customers(query: Fields) -> Page:
    """List the customers, the oldest first, or only the one with an e-mail."""
    return service.list_customers(query["limit"], query.get("email"), query.get("cursor"))


@blueprint.get("/<id:customer_id>")
@blueprint.guarded("read", CustomerNotFound)
@blueprint.response(200, schemas.Customer())
def read_customer(customer_id: int) -> Customer:
    """Read a customer."""
    return service.read(customer_id)


@blueprint.patch("/<id:customer_id>")
@blueprint.guarded("issue", CustomerNotFound, CustomerExists)
@blueprint.arguments(schemas.CustomerChanges(), required=False)
@write
@blueprint.response(200, schemas.Customer())
def change_customer(body: Fields, customer_id: int) -> Customer:
    """Change a customer's e-mail, name or language."""
    return service.change(customer_id, **body)
