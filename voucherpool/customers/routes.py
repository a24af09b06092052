"""The customers' routes."""

from voucherpool.customers import schemas, service
from voucherpool.customers.errors import CustomerExists, CustomerNotFound
from voucherpool.customers.models import Customer
from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields

blueprint = Blueprint(
    "customers", __name__, url_prefix="/customers", description="People, known by e-mail."
)


@blueprint.post(
    "",
    scope="issue",
    body=schemas.NewCustomer(),
    answer=(201, schemas.Customer()),
    refuses=(CustomerExists,),
    writes=True,
)
def create_customer(body: Fields) -> Customer:
    """Create a customer."""
    return service.create(**body)


@blueprint.get("", scope="read", query=schemas.ListRequest(), answer=(200, schemas.customers_page))
def list_customers(query: Fields) -> Page:
    """List the customers, the oldest first; by their e-mail, or a part of e-mail or name."""
    return service.list_customers(after=query.pop("cursor", None), **query)


@blueprint.get(
    "/<id:customer_id>", scope="read", answer=(200, schemas.Customer()), refuses=(CustomerNotFound,)
)
def read_customer(customer_id: int) -> Customer:
    """Read a customer."""
    return service.read(customer_id)


@blueprint.patch(
    "/<id:customer_id>",
    scope="issue",
    body=schemas.CustomerChanges(),
    body_is_optional=True,
    answer=(200, schemas.Customer()),
    refuses=(CustomerNotFound, CustomerExists),
    writes=True,
)
def change_customer(body: Fields, customer_id: int) -> Customer:
    """Change a customer's e-mail, name or language."""
    return service.change(customer_id, **body)
