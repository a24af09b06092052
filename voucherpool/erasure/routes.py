"""The route that erases a customer."""

from collections.abc import Iterator
from contextlib import contextmanager

from voucherpool.database.transactions import transaction
from voucherpool.erasure import service
from voucherpool.errors import CustomerNotFound
from voucherpool.http.routes import Blueprint, Fields

blueprint = Blueprint(
    "erasure", __name__, url_prefix="/customers", description="Erasing a customer."
)


@contextmanager
def holds_ended(fields: Fields, customer_id: int) -> Iterator[Fields]:
    """End the customer's holds in a second transaction, also when the request is repeated.

    In the transaction of the erasure it would deadlock with the customer's redemptions.
    """
    try:
        yield fields
    finally:
        with transaction():
            service.end_holds(customer_id)


@blueprint.delete(
    "/<id:customer_id>",
    scope="admin",
    answer=(204, None),
    refuses=(CustomerNotFound,),
    writes=True,
    around=holds_ended,
)
def erase_customer(customer_id: int) -> None:
    """Erase a customer's e-mail and name; vouchers and redemptions stay under the id."""
    service.erase(customer_id)
