"""Refused attempts: each refused check, hold or redemption with its true reason, for support."""

from sqlalchemy import Text, and_, bindparam, case, delete, func, insert, select, text

from voucherpool.customers.models import Customer
from voucherpool.database.model import db
from voucherpool.errors import VoucherPoolError
from voucherpool.input.emails import email_key
from voucherpool.vouchers import codes
from voucherpool.vouchers.archived import archived_vouchers
from voucherpool.vouchers.errors import VoucherNotFound
from voucherpool.vouchers.models import RefusedAttempt, Voucher

attempts_kept = 20
"""The number of newest refused attempts kept for each voucher."""


no_code = ""
"""Attempts on unknown codes are kept under this key; no code's normal form is empty."""


attempts_kept_for = "90 days"


def record(
    refusal: VoucherPoolError,
    action: str,
    code: str,
    email: str | None,
    order_ref: str | None = None,
) -> None:
    """Record a refused check, hold or redemption with its true reason.

    The customer may not know that reason.

    Unknown codes are recorded too, so that response time reveals nothing.
    """
    attempt = {
        "key": codes.normal_form(code),
        "email": None if email is None else email_key(email),
        "reason": refusal.code(),
        "action": action,
        "order_ref": order_ref,
    }
    kept_under = db.session.scalar(record_one, attempt)
    db.session.execute(forget_surplus, {"key": kept_under})


def forget_old_refused_attempts() -> int:
    """Delete the refused attempts older than 90 days; return how many."""
    old = RefusedAttempt.attempted_at < func.now() - text(f"interval '{attempts_kept_for}'")
    gone = db.session.execute(delete(RefusedAttempt).where(old).returning(RefusedAttempt.id))
    return len(gone.all())


# Skip rows that another request is deleting: two requests that wait for each other deadlock.
_surplus = (
    select(RefusedAttempt.id)
    .where(RefusedAttempt.code_key == bindparam("key"))
    .order_by(RefusedAttempt.attempted_at.desc())
    .offset(attempts_kept)
    .with_for_update(skip_locked=True)
)


_this = bindparam("key", type_=Text)


_hot = select(Voucher.code_key).where(Voucher.code_key == _this)


_archived = select(archived_vouchers.c.code_key).where(archived_vouchers.c.code_key == _this)


_attempt = select(
    func.coalesce(_hot.scalar_subquery(), _archived.scalar_subquery(), no_code).label("code_key"),
    bindparam("reason", type_=Text).label("reason"),
).subquery("attempt")


_of_stranger = and_(_attempt.c.reason == VoucherNotFound.code(), _attempt.c.code_key != no_code)


record_one = (
    insert(RefusedAttempt.__table__)
    .from_select(
        ["code_key", "customer_id", "reason", "action", "order_ref"],
        select(
            _attempt.c.code_key,
            select(Customer.id).where(Customer.email_key == bindparam("email")).scalar_subquery(),
            case((_of_stranger, "bound_to_another_customer"), else_=_attempt.c.reason),
            bindparam("action", type_=Text),
            bindparam("order_ref", type_=Text),
        ),
    )
    .returning(RefusedAttempt.code_key)
)


forget_surplus = delete(RefusedAttempt).where(
    RefusedAttempt.code_key == bindparam("key"), RefusedAttempt.id.in_(_surplus)
)
