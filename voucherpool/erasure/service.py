"""Erases customers (GDPR, article 17): what names the person goes, the books stay."""

from collections.abc import Callable, Collection

from voucherpool.customers import service as customers
from voucherpool.http import idempotency, redaction, throttle
from voucherpool.vouchers import holding

Forget = Callable[[Collection[str]], None]

places: tuple[Forget, ...] = (idempotency.forget_people, throttle.forget_people)
"""What forgets e-mails outside of the customers' table; who stores one adds a line."""


def erase(customer_id: int) -> None:
    """Leave of a customer an id without a name, which keeps its redemptions and vouchers.

    end_holds() follows in a transaction of its own. Raises CustomerNotFound.
    """
    # The lock comes first: redacted() holds it too for each e-mail that an answer shows, so that
    # the answer is either forgotten below or finds no such customer.
    emails = customers.lock(customer_id).emails()
    for forget in places:
        forget(emails)
    customers.make_anonymous(customer_id)


def redacted(body: str) -> str:
    """Return an answer as it may be stored: with null for people erased since it was written.

    Whoever else it names can be erased only once the transaction is over.
    """
    shown = redaction.emails_in(body)
    erased = shown - customers.pin(shown) if shown else set()
    return redaction.without(body, erased) if erased else body


def end_holds(customer_id: int) -> None:
    """End the holds of a customer if it was erased; a repeat finds none left."""
    if customers.is_erased(customer_id):
        holding.release_all(customer_id)


def end_holds_left() -> int:
    """End the holds that requests made while their customers were erased; return for how many."""
    erased = customers.erased_lately()
    for customer_id in erased:
        holding.release_all(customer_id)
    return len(erased)
