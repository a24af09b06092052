"""Guests: customers created by the first request that serves them."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from voucherpool.customers import service
from voucherpool.database.model import db
from voucherpool.database.retries import Repeatable
from voucherpool.database.transactions import transaction
from voucherpool.errors import CustomerNotFound, OutcomeUnknown
from voucherpool.http.blueprints import Fields

Result = TypeVar("Result")
View = Callable[[Fields], Result]


def with_guest(
    look: Callable[[Fields], object] = lambda _: None,
) -> Callable[[View[Result]], View[Result]]:
    """Return a decorator for a view that serves unknown customers if the body says so.

    With `create_customer` the customer is created and the view runs again. Before that, `look`
    raises what the view would refuse to any new customer, so a wrong code creates nobody.
    """

    def decorate(view: View[Result]) -> View[Result]:
        @wraps(view)
        def run(body: Fields) -> Result:
            creates = body.pop("create_customer", False)
            try:
                return view(body)
            except CustomerNotFound:
                if not creates:
                    raise
            # A view without a transaction may have read through the session.
            db.session.remove()
            look(body)
            _create(body["email"])
            return view(body)

        return run

    return decorate


def _create(email: str) -> None:
    """Create the customer; a transaction of its own keeps the lock on the customers short."""
    try:
        with transaction():
            service.ensure(email)
    except OutcomeUnknown as error:
        raise Repeatable from error
