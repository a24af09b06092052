"""Erases customers (GDPR, article 17): removes all that names the person, keeps the ledger."""

from voucherpool.audit import service as audit
from voucherpool.customers import service as customers
from voucherpool.erasure.personal_data import Person, places
from voucherpool.http.idempotency import keys as idempotency
from voucherpool.http.idempotency import redaction
from voucherpool.vouchers.checkout import holding


def erase(customer_id: int) -> None:
    """Remove the customer's e-mails and name; vouchers and redemptions stay under the id.

    Call end_holds() next, in its own transaction. Raises CustomerNotFound.
    """
    # Lock first: redacted() takes the same lock for each e-mail that an answer shows, so that an
    # answer is either redacted below or finds no such customer.
    person = Person(customer_id, customers.lock(customer_id).emails())
    for place in places:
        place.forget(person)
    audit.record("customer.erased", customer_id)


def redacted(body: str) -> idempotency.Redacted:
    """Return the answer with null for people who were erased since it was written.

    The others it names cannot be erased until the transaction ends.
    """
    shown = redaction.emails_in(body)
    if not shown:
        return body, []
    locked = customers.lock_against_erasure(shown)
    erased = shown - locked.keys()
    return redaction.without(body, erased) if erased else body, sorted(locked.values())


def end_holds(customer_id: int) -> None:
    """End the holds of a customer who was erased; repeating this changes nothing."""
    if customers.is_erased(customer_id):
        holding.release_all(customer_id)


def end_holds_left() -> int:
    """End holds made while their customers were being erased; return the number of customers."""
    erased = customers.erased_lately()
    for customer_id in erased:
        holding.release_all(customer_id)
    return len(erased)
