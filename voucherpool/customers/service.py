"""What is done with customers."""

from sqlalchemy.dialects.postgresql import insert

from voucherpool.customers.models import Customer, email_key
from voucherpool.db import db


def ensure(email: str, name: str | None = None) -> bool:
    """Create the customer unless the e-mail is known; return whether it was created."""
    created = db.session.execute(
        insert(Customer)
        .values(email=email.strip(), email_key=email_key(email), name=name)
        .on_conflict_do_nothing(index_elements=[Customer.email_key])
        .returning(Customer.id)
    )
    return created.scalar() is not None
