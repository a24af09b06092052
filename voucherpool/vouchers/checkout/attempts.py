"""Attempts to issue, check, hold or redeem: they are admitted, and recorded if refused.

Each is a context manager around a request's transaction, so that a refusal is recorded, a failed
attempt counted, and a guest created after the transaction was rolled back.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from voucherpool.customers import guests
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.customers.visitors import visitor
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.transactions import transaction
from voucherpool.http.routes import Fields
from voucherpool.vouchers.checkout import checking, refusals
from voucherpool.vouchers.errors import Refusal, VoucherNotFound

order_fields = ("order_amount", "currency")


@contextmanager
def recorded(action: str, fields: Fields) -> Iterator[Fields]:
    """Admit the visitor; record a refusal for support, and count a wrong code as a failed attempt.

    Gives the fields without those of the visitor. Raises TooManyFailedAttempts.
    """
    asking = visitor(fields)
    asking.admit()
    try:
        yield fields
    except (CustomerNotFound, Refusal) as refusal:
        this = (fields["code"], fields["email"], fields.get("order_ref"))
        # The answer is the same if the record is lost.
        with suppress(OutcomeUnknown), transaction():
            refusals.record(refusal, action, *this)
            if isinstance(refusal, VoucherNotFound):
                asking.count_failure()
        raise


@contextmanager
def to_issue(fields: Fields) -> Iterator[Fields]:
    """Create an unknown customer if the request says so."""
    creates = fields.pop("create_customer", False)
    try:
        yield fields
    except CustomerNotFound:
        if creates:
            guests.create(fields["email"])
        raise


@contextmanager
def to_redeem(fields: Fields) -> Iterator[Fields]:
    """Record a refusal; create an unknown customer if the request says so and the code is right."""
    # The customer's open hold is found without its id.
    fields.pop("hold_id", None)
    creates = fields.pop("create_customer", False)
    with recorded("redeem", fields):
        try:
            yield fields
        except CustomerNotFound:
            if creates:
                order = {name: it for name, it in fields.items() if name != "metadata"}
                checking.check(**order, create_customer=True)
                guests.create(fields["email"])
            raise


@contextmanager
def to_hold(fields: Fields) -> Iterator[Fields]:
    """Record a refusal; create an unknown customer if the request says so and the code is right."""
    creates = fields.pop("create_customer", False)
    with recorded("hold", fields):
        try:
            yield fields
        except CustomerNotFound:
            if creates:
                order = {name: fields[name] for name in order_fields if name in fields}
                checking.check_hold_for_guest(fields["code"], **order)
                guests.create(fields["email"])
            raise
