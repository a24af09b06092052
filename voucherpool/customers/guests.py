"""Guests: customers whom the first request that names them creates."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from voucherpool.customers import service
from voucherpool.database.retries import Repeatable
from voucherpool.database.transactions import transaction
from voucherpool.errors import OutcomeUnknown
from voucherpool.http.blueprints import Fields

Result = TypeVar("Result")


def with_guest(view: Callable[[Fields], Result]) -> Callable[[Fields], Result]:
    """Create the customer first if the body says `create_customer` and the e-mail is unknown.

    A transaction of its own keeps the lock on the customers short. A refusal afterwards leaves the
    customer, which does no harm.
    """

    @wraps(view)
    def run(body: Fields) -> Result:
        if body.pop("create_customer", False) and body["email"] is not None:
            try:
                with transaction():
                    service.make_known(body["email"])
            except OutcomeUnknown as error:
                raise Repeatable from error
        return view(body)

    return run
