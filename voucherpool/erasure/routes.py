"""The route that erases a customer."""

from collections.abc import Callable
from functools import wraps

from flask import Response

from voucherpool.database.transactions import transaction
from voucherpool.erasure import service
from voucherpool.errors import CustomerNotFound
from voucherpool.http.blueprints import Blueprint
from voucherpool.http.idempotency import write

blueprint = Blueprint(
    "erasure", __name__, url_prefix="/customers", description="Erasing a customer."
)


def holds_ended(view: Callable[..., Response]) -> Callable[..., Response]:
    """End the customer's holds in a second transaction, also when the request is repeated.

    In the transaction of the erasure it would deadlock with the customer's redemptions.
    """

    @wraps(view)
    def run(customer_id: int) -> Response:
        try:
            return view(customer_id)
        finally:
            with transaction():
                service.end_holds(customer_id)

    return run


@blueprint.delete("/<id:customer_id>")
@blueprint.guarded("admin", CustomerNotFound)
@holds_ended
@write
@blueprint.response(204)
def erase_customer(customer_id: int) -> None:
    """Erase a customer's e-mail and name; vouchers and redemptions stay under the id."""
    service.erase(customer_id)
