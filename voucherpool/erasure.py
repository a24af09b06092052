"""Erases customers (GDPR, article 17): what names the person goes, the books stay."""

from collections.abc import Callable, Collection

from voucherpool.customers import persons
from voucherpool.customers import service as customers
from voucherpool.customers.models import email_key
from voucherpool.web import idempotency, throttle

Forget = Callable[[Collection[str]], None]

places: tuple[Forget, ...] = (idempotency.forget_people, throttle.forget_people)
"""What forgets e-mails outside of the customers' table; who stores one adds a line."""


def erase(customer_id: int) -> None:
    """Leave of a customer an id without a name, which holds its redemptions and vouchers.

    Its holds end with it, and its vouchers are nobody's. The limits of offers know the person by a
    keyed hash; of a redemption that is under way at that moment they may not know.

    Raises ErasureNotConfigured and CustomerNotFound.
    """
    # The lock comes first: who stores an answer that shows the e-mail holds it too, so that it
    # either is forgotten below or finds no e-mail (voucherpool.web.personal).
    emails = customers.lock(customer_id).emails()
    persons.remember(customer_id, email_key(emails[0]))
    for forget in places:
        forget(emails)
    customers.make_anonymous(customer_id)
