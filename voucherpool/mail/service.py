"""Customers who want no e-mails; forgets the messages of an erased one."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from voucherpool.audit import service as audit
from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer
from voucherpool.database.model import db
from voucherpool.mail.models import OptOut


def language_of(customer_id: int) -> str | None:
    """Return the customer's language, None for the shop's."""
    return db.session.scalar(select(Customer.language).where(Customer.id == customer_id))


def opt_out(customer_id: int) -> None:
    """Send the customer no e-mails; this changes nothing if they were erased."""
    # The lock waits for an erasure.
    theirs = select(Customer.id).where(Customer.id == customer_id, Customer.erased_at.is_(None))
    locked = theirs.with_for_update(read=True, key_share=True)
    chosen = insert(OptOut).from_select(["customer_id"], locked)
    db.session.execute(chosen.on_conflict_do_nothing())


def opt_in(customer_id: int) -> None:
    """Let the customer get e-mails again."""
    db.session.execute(delete(OptOut).where(OptOut.customer_id == customer_id))


def change_opt_out(customer_id: int, *, opted_out: bool) -> datetime | None:
    """Opt the customer out of e-mails or in again for the shop; return since when they are out.

    Raises CustomerNotFound.
    """
    before = opted_out_at(customer_id)
    change = opt_out if opted_out else opt_in
    change(customer_id)
    if (before is not None) != opted_out:
        audit.record("customer.opted_out" if opted_out else "customer.opted_in", customer_id)
    return opted_out_at(customer_id)


def opted_out_at(customer_id: int) -> datetime | None:
    """Return since when the customer wants no e-mails, or None. Raises CustomerNotFound."""
    customers.read(customer_id)
    when = select(OptOut.created_at).where(OptOut.customer_id == customer_id)
    return db.session.scalar(when)
