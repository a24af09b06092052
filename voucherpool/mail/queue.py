"""The queue of messages: leases them, says what they tell, and records what became of them.

A message is leased by moving `due_at` ahead, so it waits again if its worker is killed.
"""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, text, update

from voucherpool.customers.models import Customer
from voucherpool.database.model import db
from voucherpool.events.models import Message
from voucherpool.mail.composing import Announced, Letter, most_shown
from voucherpool.mail.models import OptOut, Reminder
from voucherpool.offers.models import Offer
from voucherpool.vouchers.eligibility import budgets, limits, rules
from voucherpool.vouchers.errors import OfferNotActive, VoucherNotStarted
from voucherpool.vouchers.models import Voucher

lease_seconds = 300
"""Longer than an attempt can take: about ten steps of SMTP, each with its timeout."""


class Leased(NamedTuple):
    """A message that this worker sends now; `attempts` counts this one."""

    id: uuid.UUID
    kind: str
    customer_id: int
    batch_id: int | None
    code_key: str | None
    attempts: int


def lease() -> Leased | None:
    """Lease a message that is due, in the open transaction; None if there is none.

    The first time, a reminder takes all the customer's reminders that have no message yet.
    """
    row = db.session.execute(lease_one, {"seconds": lease_seconds}).one_or_none()
    if row is None:
        return None
    leased = Leased(*row)
    if leased.kind == "expiring" and leased.attempts == 1:
        # A statement of its own: it sees all that was committed before the message was locked.
        theirs = (Reminder.customer_id == leased.customer_id, Reminder.message_id.is_(None))
        db.session.execute(update(Reminder).where(*theirs).values(message_id=leased.id))
    return leased


def letter(message: Leased) -> Letter | None:
    """Return the letter to send, or None if no voucher is left or the customer has opted out."""
    of_them = select(Customer.email, Customer.language, func.now().label("now")).where(
        Customer.id == message.customer_id,
        Customer.erased_at.is_(None),
        ~exists().where(OptOut.customer_id == Customer.id),
    )
    customer = db.session.execute(of_them).one_or_none()
    if customer is None:
        return None
    vouchers, total = _vouchers(message)
    if not vouchers:
        return None
    who = (message.customer_id, customer.email, customer.language)
    return Letter(message.id, message.kind, *who, vouchers, total, customer.now)


def _vouchers(message: Leased) -> tuple[Sequence[Announced], int]:
    """Return the vouchers that the message shows, and of how many it tells."""
    exhausted = limits.exhausted_offers(message.customer_id)
    exhausted += budgets.exhausted_offers(message.customer_id)
    chosen = announced.where(
        Customer.id == message.customer_id, Offer.id.not_in(exhausted), *_subject(message)
    )
    found = db.session.execute(chosen).all()
    return [Announced(*row[:-1]) for row in found], found[0].total if found else 0


def _subject(message: Leased) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of the vouchers that a message is about."""
    if message.kind == "expiring":
        reminded = exists().where(
            Reminder.message_id == message.id,
            Reminder.code_key == Voucher.code_key,
            Reminder.expires_at == Voucher.expires_at,
        )
        return reminded, rules.redeemable
    if message.batch_id is None:
        return Voucher.code_key == message.code_key, usable_soon
    # Plus 0, so that PostgreSQL reads the customer's vouchers by their index and not the batch's.
    return Voucher.batch_id + 0 == message.batch_id, usable_soon


def finish(message_id: uuid.UUID, state: str) -> None:
    """Record that a message was `sent`, `skipped` or `parked`."""
    this = update(Message).where(Message.id == message_id, Message.state == "waiting")
    db.session.execute(this.values(state=state, finished_at=func.now()))


def postpone(message: Leased, seconds: float) -> None:
    """Let a message wait before its next attempt, unless another worker has leased it since."""
    this = update(Message).where(Message.id == message.id, Message.attempts == message.attempts)
    due_at = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    db.session.execute(this.where(Message.state == "waiting").values(due_at=due_at))


lease_one = text("""
    UPDATE messages SET due_at = now() + make_interval(secs => :seconds), attempts = attempts + 1
    WHERE id = (
        SELECT id FROM messages
        WHERE state = 'waiting' AND due_at <= now()
        AND (batch_id IS NULL OR batch_id <> ALL (ARRAY(
            SELECT id FROM batches WHERE finished_at IS NULL
        )))
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, kind, customer_id, batch_id, code_key, attempts""")

usable_soon = and_(
    rules.redeemable_but_for(OfferNotActive, VoucherNotStarted),
    or_(Offer.ends_at.is_(None), Offer.ends_at > func.now()),
)
"""Redeemable now, or as soon as it or its offer begins."""

_starts_at = func.greatest(Offer.starts_at, Voucher.starts_at)

announced = (
    select(
        Voucher.code,
        Offer.name,
        rules.current_discount,
        Offer.discount_type,
        Offer.currency,
        case((_starts_at > func.now(), _starts_at)),
        Voucher.expires_at,
        func.count().over().label("total"),
    )
    .join(Offer, Offer.id == Voucher.offer_id)
    .join(Customer, Customer.id == Voucher.customer_id)
    .where(Voucher.used_at.is_(None))  # for the index
    .order_by(Voucher.expires_at, Voucher.issue_number)
    .limit(most_shown)
)
