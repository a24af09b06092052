"""The list of all that is kept about people: an export reads it, and an erasure walks it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Table,
    any_,
    case,
    delete,
    literal,
    null,
    select,
)

from voucherpool.apikeys import failed_attempts
from voucherpool.apikeys.models import FailedAttempts
from voucherpool.audit import service as audit
from voucherpool.audit.models import AuditEntry
from voucherpool.batches.models import BatchCustomers
from voucherpool.claims.models import Claim, ClaimCount
from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer
from voucherpool.database.model import AnySelect, Model, db
from voucherpool.events.models import Event, Message, NumberedEvent
from voucherpool.http.idempotency import redaction, stored_answers
from voucherpool.http.idempotency.stored_answers import IdempotencyKey
from voucherpool.input.emails import email_key
from voucherpool.mail.models import OptOut, Reminder
from voucherpool.offers.models import Offer
from voucherpool.redemptions import service as redemptions
from voucherpool.schedules import service as schedules
from voucherpool.schedules.models import Schedule
from voucherpool.vouchers.archived import CustomerTotals, archived_redemptions, archived_vouchers
from voucherpool.vouchers.checkout import holding
from voucherpool.vouchers.models import BudgetHold, Redemption, RefusedAttempt, Voucher

Row = Mapping[str, object]

rows_at_once = 1000
happened = ("created_at", "redeemed_at", "claimed_at", "used_at")
"""The columns by which rows are sorted, the newest first."""


class Person(NamedTuple):
    """A customer: the id, and the e-mails that they have and had, as given."""

    id: int
    emails: Sequence[str]


class Place(NamedTuple):
    """A table that holds something about people: how to read and how to forget one of them."""

    table: str
    read: Callable[[Person], Iterator[Row]]
    forget: Callable[[Person], object]


def keep(_: Person) -> None:
    """Keep the rows: without the customer's e-mail and name they identify nobody."""


def _rows(
    table: Table,
    about: Callable[[Person], ColumnElement[bool]],
    hidden: Sequence[str],
    person: Person,
) -> Iterator[Row]:
    """Yield the rows about a person without the hidden columns, and with the names of offers."""
    columns: list[Any] = [column for column in table.columns if column.name not in hidden]
    if "offer_id" in table.columns:
        name = select(Offer.name).where(Offer.id == table.c.offer_id).scalar_subquery()
        columns.append(name.label("offer_name"))
    moments = [column.desc() for column in table.columns if column.name in happened]
    order = (*moments[:1], *table.primary_key)
    yield from _fetched(select(*columns).where(about(person)).order_by(*order))


def _fetched(query: AnySelect) -> Iterator[dict[str, Any]]:
    found = db.session.execute(query, execution_options={"yield_per": rows_at_once})
    yield from map(dict, found.mappings())


def _by_id(model: type[Model] | Table, *hidden: str) -> Callable[[Person], Iterator[Row]]:
    """Return what reads the rows of a table that names a customer in `customer_id`."""
    table: Any = getattr(model, "__table__", model)
    return partial(_rows, table, lambda person: table.c.customer_id == person.id, hidden)


def _listed(model: type[Model], *hidden: str) -> Callable[[Person], Iterator[Row]]:
    """Return what reads the rows of a table that names customers in `customer_ids`."""
    table: Any = model.__table__

    def about(person: Person) -> ColumnElement[bool]:
        named: ColumnElement[bool] = literal(person.id, BigInteger) == any_(table.c.customer_ids)
        return named

    return partial(_rows, table, about, ("customer_ids", *hidden))


def _deleted(model: type[Model]) -> Callable[[Person], object]:
    table: Any = model.__table__
    return lambda person: db.session.execute(delete(table).where(table.c.customer_id == person.id))


def _refused_attempts(person: Person) -> Iterator[Row]:
    """Yield the attempts as the person was answered: another's voucher is an unknown one."""
    table: Any = RefusedAttempt.__table__
    strangers = table.c.reason == "bound_to_another_customer"
    shown = (
        case((strangers, null()), else_=table.c.code_key).label("code_key"),
        case((strangers, "voucher_not_found"), else_=table.c.reason).label("reason"),
        *(table.c[name] for name in ("action", "order_ref", "attempted_at")),
    )
    about = table.c.customer_id == person.id
    yield from _fetched(select(*shown).where(about).order_by(table.c.attempted_at))


def _audit_log(person: Person) -> Iterator[Row]:
    """Yield the changes of the person's own data, without those who made them."""
    table: Any = AuditEntry.__table__
    shown = (table.c[name] for name in ("action", "before", "after", "created_at"))
    about = (table.c.subject == "customer", table.c.subject_id == str(person.id))
    yield from _fetched(select(*shown).where(*about).order_by(table.c.created_at.desc()))


def _stored_answers(person: Person) -> Iterator[Row]:
    """Yield the answers that show the person, with null for the other people in them."""
    own = {email_key(email) for email in person.emails}
    about = IdempotencyKey.customer_ids.contains([person.id])
    names = ("key", "scope", "status", "used_at", "body")
    query = select(*(getattr(IdempotencyKey, name) for name in names)).where(about)
    for row in _fetched(query.order_by(IdempotencyKey.used_at.desc(), IdempotencyKey.key)):
        others = redaction.emails_in(row["body"]) - own
        yield {**row, "body": json.loads(redaction.without(row["body"], others))}


places = (
    Place(
        "customers",
        partial(_rows, Customer.__table__, lambda person: Customer.id == person.id, ("email_key",)),
        lambda person: customers.make_anonymous(person.id),
    ),
    Place("vouchers", _by_id(Voucher, "code_key", "customer_id", "holds", "issue_number"), keep),
    Place("archived_vouchers", _by_id(archived_vouchers, "code_key", "customer_id", "holds"), keep),
    # The next two end in a second transaction: see service.end_holds.
    Place("holds", lambda person: holding.of_customer(person.id), keep),
    Place("budget_holds", _by_id(BudgetHold), keep),
    Place("redemptions", _by_id(Redemption), lambda person: redemptions.forget(person.id)),
    # The line above forgets both.
    Place("archived_redemptions", _by_id(archived_redemptions), keep),
    Place("customer_totals", _by_id(CustomerTotals), keep),
    Place("refused_attempts", _refused_attempts, keep),
    Place("claims", _by_id(Claim), keep),
    Place("claim_counts", _by_id(ClaimCount), keep),
    Place("batch_customers", _listed(BatchCustomers), keep),
    Place("schedules", _listed(Schedule), lambda person: schedules.forget(person.id)),
    Place("events", _by_id(Event), keep),
    Place("numbered_events", _by_id(NumberedEvent), keep),
    Place("messages", _by_id(Message), _deleted(Message)),
    Place("reminders", _by_id(Reminder), _deleted(Reminder)),
    Place("opt_outs", _by_id(OptOut), _deleted(OptOut)),
    Place("audit_log", _audit_log, lambda person: audit.forget(person.id)),
    Place(
        "idempotency_keys",
        _stored_answers,
        lambda person: stored_answers.erase(person.id, person.emails),
    ),
    Place(
        "failed_attempts",
        partial(
            _rows,
            FailedAttempts.__table__,
            lambda person: failed_attempts.of_emails(person.emails),
            ("subject",),
        ),
        lambda person: failed_attempts.erase_emails(person.emails),
    ),
)
"""Every table that names a customer, in the order of an erasure: first the customer's own row."""
