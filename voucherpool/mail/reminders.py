"""Reminds customers of vouchers some days before they expire, once per voucher, days and expiry.

For each offer and number of days, the progress is the last voucher looked at, in the order of
expiry.
"""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    DateTime,
    bindparam,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from voucherpool.customers.models import Customer
from voucherpool.database.model import AnySelect, db
from voucherpool.database.transactions import expect_many_rows, transaction
from voucherpool.mail.models import Reminder, ReminderProgress
from voucherpool.offers.models import Offer
from voucherpool.vouchers import events
from voucherpool.vouchers.eligibility import rules
from voucherpool.vouchers.models import Voucher

vouchers_at_once = 2_000
"""Each step sorts the vouchers that expire at the same moment, so that small steps were slow."""


def remind_some(*, mail: bool) -> bool:
    """Make reminders for some vouchers of an offer, and return whether there was work.

    With `mail` their customers get an e-mail. Events are recorded if a webhook listens.
    """
    with transaction():
        db.session.execute(begin)
        walk = db.session.execute(next_walk).one_or_none()
        if walk is None:
            return False
        expect_many_rows()
        step = {**walk._mapping, "most": vouchers_at_once}
        found = db.session.execute(remind, step).all()
        reminded = [voucher for voucher in found if voucher.is_new]
        if reminded:
            events.record_expiring([it.code_key for it in reminded], walk.days_before)
        if reminded and mail:
            _let_wait({it.customer_id for it in reminded})
        last = found[-1] if len(found) == vouchers_at_once else None
        place = (last.expires_at, last.issue_number) if last else (walk.upper, 0)
        _move_on(walk.offer_id, walk.days_before, *place)
    return True


def _let_wait(customer_ids: Collection[int]) -> None:
    """Let a message wait for each of the customers, unless one does already.

    Locking that one keeps it from being leased before these reminders are committed.
    """
    db.session.execute(add_messages, {"customer_ids": sorted(customer_ids)})


def forget_old_reminders() -> int:
    """Delete the reminders of vouchers that expired 30 days ago; return how many."""
    old = delete(Reminder).where(Reminder.expires_at < func.now() - text("interval '30 days'"))
    return len(db.session.execute(old.returning(Reminder.code_key)).all())


def _move_on(offer_id: int, days_before: int, expires_until: datetime, issue_number: int) -> None:
    """Record the last voucher of a full step, or that the walk has reached its end."""
    this = update(ReminderProgress).where(
        ReminderProgress.offer_id == offer_id, ReminderProgress.days_before == days_before
    )
    db.session.execute(this.values(expires_until=expires_until, issue_number=issue_number))


# When an offer gets reminder days, vouchers that already expire within them get a reminder too.
begin = text("""
    INSERT INTO reminder_progress (offer_id, days_before, expires_until)
    SELECT offers.id, days, now() FROM offers, unnest(reminder_days) AS days
    WHERE reminder_days IS NOT NULL AND NOT EXISTS (
        SELECT FROM reminder_progress WHERE offer_id = offers.id AND days_before = days
    )
    ON CONFLICT DO NOTHING""")

# Once a minute, so that an idle worker writes little.
next_walk = text("""
    SELECT offer_id, days_before, upper,
        greatest(expires_until, now()) AS expires_until,
        CASE WHEN expires_until >= now() THEN issue_number ELSE 0 END AS issue_number
    FROM reminder_progress JOIN offers ON offers.id = offer_id,
        CAST(now() + days_before * interval '24 hours' AS timestamptz) AS upper
    WHERE days_before = ANY (reminder_days) AND expires_until < upper - interval '1 minute'
    ORDER BY expires_until LIMIT 1
    FOR UPDATE OF reminder_progress SKIP LOCKED""")

# It waits some minutes, so that the vouchers of other offers and days come along in one e-mail.
add_messages = text("""
    INSERT INTO messages (kind, customer_id, due_at)
    SELECT 'expiring', id, now() + interval '5 minutes'
    FROM unnest(CAST(:customer_ids AS bigint[])) AS id ORDER BY id
    ON CONFLICT (customer_id) WHERE kind = 'expiring' AND state = 'waiting' AND attempts = 0
    DO UPDATE SET due_at = messages.due_at""")


def _remind() -> AnySelect:
    until = bindparam("expires_until", type_=DateTime(timezone=True))
    days = bindparam("days_before", type_=BigInteger)
    ahead = days * text("interval '24 hours'")  # a day of PostgreSQL has 23 in spring
    order = (Voucher.expires_at, Voucher.issue_number)
    found = (
        select(Voucher.code_key, Voucher.customer_id, *order)
        .join(Offer, Offer.id == Voucher.offer_id)
        .join(Customer, Customer.id == Voucher.customer_id)
        .where(
            Voucher.offer_id == bindparam("offer_id"),
            Voucher.used_at.is_(None),  # for the index, as is the next
            Voucher.expires_at >= until,
            Voucher.expires_at < bindparam("upper", type_=DateTime(timezone=True)),
            tuple_(*order) > tuple_(until, bindparam("issue_number", type_=BigInteger)),
            # A customer who gets a voucher so late knows that it expires soon.
            Voucher.created_at < Voucher.expires_at - ahead,
            Customer.erased_at.is_(None),
            rules.redeemable,
        )
        .order_by(*order)
        .limit(bindparam("most", type_=BigInteger))
        .cte("found")
    )
    columns = ("code_key", "customer_id", "expires_at", "days_before")
    rows = select(found.c.code_key, found.c.customer_id, found.c.expires_at, days)
    new = insert(Reminder).from_select(columns, rows)
    # A voucher that was extended since gets another reminder.
    new = new.on_conflict_do_update(
        index_elements=[Reminder.code_key, Reminder.days_before],
        set_={"expires_at": new.excluded.expires_at, "message_id": None},
        where=Reminder.expires_at != new.excluded.expires_at,
    )
    made = new.returning(Reminder.code_key).cte("made")
    is_new = made.c.code_key.is_not(None).label("is_new")
    joined = select(*found.c, is_new).outerjoin(made, made.c.code_key == found.c.code_key)
    return joined.order_by(found.c.expires_at, found.c.issue_number)


remind = _remind()
