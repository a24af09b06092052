"""Creates, reads, changes and locks customers."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import bindparam, exists, func, null, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from voucherpool.audit import service as audit
from voucherpool.customers.errors import CustomerExists, CustomerNotFound
from voucherpool.customers.models import Customer
from voucherpool.database import cluster, paging
from voucherpool.database.model import db
from voucherpool.database.paging import Page, Position
from voucherpool.database.retries import racing_for
from voucherpool.database.statements import Statement
from voucherpool.input.emails import deliverable, email_key


def ensure(email: str, name: str | None = None, language: str | None = None) -> bool:
    """Create the customer if the e-mail is new; return whether it was created."""
    return _insert(email, name=name, language=language) is not None


def create(email: str, name: str | None = None, language: str | None = None) -> Customer:
    """Create a customer and return it. Raises CustomerExists."""
    customer = _insert(email, name=name, language=language)
    if customer is None:
        raise CustomerExists
    given = {"email": customer.email, "name": name, "language": language}
    audit.record("customer.created", customer.id, after=given)
    return customer


def read(customer_id: int) -> Customer:
    """Return a customer. Raises CustomerNotFound."""
    customer = db.session.get(Customer, customer_id)
    if customer is None or customer.erased_at is not None:
        raise CustomerNotFound
    return customer


def lock(customer_id: int) -> Customer:
    """Lock a customer against changes, erasure and redemptions, and return it.

    Raises CustomerNotFound.
    """
    statement = select(Customer).where(Customer.id == customer_id, Customer.erased_at.is_(None))
    fresh = statement.with_for_update().execution_options(populate_existing=True)
    customer = db.session.scalars(fresh).one_or_none()
    if customer is None:
        raise CustomerNotFound
    return customer


def id_of(email: str) -> int:
    """Return the id of the customer with the e-mail. Raises CustomerNotFound."""
    statement = select(Customer.id).where(Customer.email_key == email_key(email))
    customer_id = db.session.scalar(statement)
    if customer_id is None:
        raise CustomerNotFound
    return customer_id


def is_known(email: str) -> bool:
    """Tell whether a customer has the e-mail; it needs no transaction."""
    return known.one_or_none({"email": email_key(email)}) is not None


def list_customers(
    limit: int, email: str | None = None, part: str | None = None, after: Position | None = None
) -> Page:
    """Return up to `limit` customers, the oldest first.

    They have the e-mail, or the part in their e-mail or name, in upper or lower case. The whole
    parts of an international domain are found in both forms.
    """
    statement = select(*Customer.__table__.columns).where(Customer.erased_at.is_(None))
    if email is not None:
        statement = statement.where(Customer.email_key == email_key(email))
    if part is not None:
        in_name = Customer.name.icontains(part, autoescape=True)
        in_email = Customer.email.icontains(part, autoescape=True)
        in_key = Customer.email_key.icontains(deliverable(part), autoescape=True)
        statement = statement.where(or_(in_name, in_email, in_key))
    return paging.fetch(statement, (Customer.id,), limit, after)


def change(customer_id: int, email: str | None = None, **changes: str | None) -> Customer:
    """Change a customer's e-mail, name or language and return the customer.

    Raises CustomerNotFound, CustomerExists and LostRace.
    """
    customer = lock(customer_id)
    values: dict[str, object] = {**changes}
    if email is not None:
        key, former = email_key(email), sorted({*customer.emails()} - {email})
        values |= {"email": email, "email_key": key, "former_emails": former}
        others = exists().where(Customer.email_key == key, Customer.id != customer_id)
        if db.session.scalar(select(others)):
            raise CustomerExists
    if not values:
        return customer
    given = {**changes, **({} if email is None else {"email": email})}
    before = {name: getattr(customer, name) for name in given}
    audit.record("customer.changed", customer_id, before, given)
    statement = update(Customer).where(Customer.id == customer_id).returning(Customer)
    with racing_for("customers_email_key_key"):
        return db.session.scalars(statement.values(**values)).one()


def lock_against_erasure(email_keys: Collection[str]) -> dict[str, int]:
    """Return the customers' ids by e-mail, and block their erasure until the commit.

    E-mails that belong to nobody are left out.

    The lock is the weakest that an erasure waits for; requests do not wait for each other.
    """
    these = Customer.email_key.in_(email_keys)
    locked = select(Customer.email_key, Customer.id).where(these).order_by(Customer.id)
    if cluster.is_cluster():
        cluster.lock_against_erasure(
            db.session.scalars(select(Customer.id).where(these).order_by(Customer.id))
        )
    else:
        locked = locked.with_for_update(read=True, key_share=True)
    return {key: customer_id for key, customer_id in db.session.execute(locked) if key is not None}


def is_erased(customer_id: int) -> bool:
    """Tell whether the customer was erased."""
    customer = db.session.get(Customer, customer_id)
    return customer is not None and customer.erased_at is not None


def erased_lately() -> Sequence[int]:
    """Return the ids of the customers erased in the last two days."""
    lately = Customer.erased_at > func.now() - text("interval '2 days'")
    return db.session.scalars(select(Customer.id).where(lately)).all()


def make_anonymous(customer_id: int) -> None:
    """Remove e-mails, name and language from a customer, and wait for those who locked it."""
    nothing = dict.fromkeys(("email", "email_key", "name", "language"), null())
    statement = update(Customer).where(Customer.id == customer_id)
    db.session.execute(statement.values(erased_at=func.now(), former_emails=[], **nothing))
    if cluster.is_cluster():
        cluster.wait_for_locks(customer_id)


def _insert(email: str, **more: str | None) -> Customer | None:
    return db.session.scalars(
        insert(Customer)
        .values(email=email.strip(), email_key=email_key(email), **more)
        .on_conflict_do_nothing(index_elements=[Customer.email_key])
        .returning(Customer)
    ).one_or_none()


class Known(NamedTuple):
    """A customer whose e-mail is known."""

    id: int


known = Statement(
    "known_customer", Known, select(Customer.id).where(Customer.email_key == bindparam("email"))
)
