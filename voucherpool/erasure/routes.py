"""The routes that export and erase what is kept about a customer."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from flask import Response

from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database.transactions import long_transaction, transaction
from voucherpool.erasure import exporting, service
from voucherpool.erasure.personal_data import places
from voucherpool.http.files import attachments
from voucherpool.http.files.transfers import TooManyTransfers
from voucherpool.http.routes import Blueprint, Fields

blueprint = Blueprint(
    "erasure", __name__, url_prefix="/customers", description="Exporting and erasing a customer."
)

tables = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": {"type": "object"}},
    "description": f"The tables: {', '.join(place.table for place in places)}.",
}


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


@blueprint.get(
    "/<id:customer_id>/export",
    scope="admin",
    sends_file=True,
    refuses=(CustomerNotFound, TooManyTransfers),
    documented=attachments.documented_as(tables, exporting.media_type),
)
def export_customer(customer_id: int) -> Response:
    """Export all that is kept about a customer: by table, the rows about this person."""
    with long_transaction():
        write = partial(exporting.write, person=exporting.person_of(customer_id))
        name = f"customer-{customer_id}.json"
        return attachments.attachment(name, write, exporting.media_type)


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
