"""Guests: customers created by the first request that serves them."""

from typing import NoReturn

from voucherpool.customers import service
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.model import db
from voucherpool.database.retries import LostRace, Repeatable
from voucherpool.database.transactions import transaction


def create(email: str) -> NoReturn:
    """Create the customer, and raise LostRace, so that the request runs again and finds them.

    A transaction of its own keeps the lock on the customers short.
    """
    db.session.remove()  # the request may have read through the session
    try:
        with transaction():
            service.ensure(email)
    except OutcomeUnknown as error:
        raise Repeatable from error
    raise LostRace
