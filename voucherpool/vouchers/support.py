"""Support: a voucher's whole record, disabling, enabling, and refused attempts."""

from collections.abc import Mapping

from sqlalchemy import (
    Text,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
)

from voucherpool.customers.models import Customer
from voucherpool.database.model import db
from voucherpool.errors import VoucherArchived, VoucherNotFound, VoucherPoolError
from voucherpool.input.emails import email_key
from voucherpool.offers.models import Offer
from voucherpool.vouchers import codes, event_types, events, ledger, rules
from voucherpool.vouchers.archived import archived_vouchers, including_archive
from voucherpool.vouchers.models import Redemption, RefusedAttempt, Voucher, open_holds

Record = Mapping[str, object]

attempts_kept = 20
"""The number of newest refused attempts kept for each voucher."""

no_code = ""
"""Attempts on unknown codes are kept under this key; no code's normal form is empty."""

attempts_kept_for = "90 days"

history_shown = 100
"""The number of a voucher's newest redemptions shown."""


def lookup(code: str) -> Record:
    """Return a voucher with its holds, redemptions and refused attempts.

    Raises VoucherNotFound.
    """
    key = {"key": codes.normal_form(code)}
    voucher = db.session.execute(record, key).mappings().one_or_none()
    if voucher is None:
        raise VoucherNotFound("No voucher has this code.")
    return {
        **voucher,
        "holds": db.session.execute(_holds, key).all(),
        "redemptions": db.session.execute(shown_redemptions, key).all(),
        "refused_attempts": db.session.execute(_attempts, key).all(),
    }


def disable(code: str) -> Record:
    """Disable a voucher until it is enabled; return its record.

    Raises VoucherNotFound and VoucherArchived.
    """
    voucher = _locked(code)
    if voucher.disabled_at is None:
        voucher.disabled_at = func.now()
        events.record(event_types.disabled, voucher.code_key)
    return lookup(code)


def enable(code: str) -> Record:
    """Enable a disabled voucher; return its record.

    Raises VoucherNotFound and VoucherArchived.
    """
    _locked(code).disabled_at = None
    return lookup(code)


def _locked(code: str) -> Voucher:
    voucher = db.session.get(Voucher, codes.normal_form(code), with_for_update=True)
    if voucher is None:
        lookup(code)
        raise VoucherArchived
    return voucher


def remember(
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
    kept_under = db.session.scalar(remember_one, attempt)
    db.session.execute(forget_surplus, {"key": kept_under})


def forget_old_refused_attempts() -> int:
    """Delete the refused attempts older than 90 days; return how many."""
    old = RefusedAttempt.attempted_at < func.now() - text(f"interval '{attempts_kept_for}'")
    gone = db.session.execute(delete(RefusedAttempt).where(old).returning(RefusedAttempt.id))
    return len(gone.all())


record = including_archive(
    select(
        Voucher.code,
        Customer.email,
        Offer.name.label("offer_name"),
        rules.current_discount.label("discount"),
        Offer.discount_type,
        Offer.currency,
        Voucher.frozen_discount.is_not(None).label("frozen"),
        Voucher.expires_at,
        Voucher.max_redemptions,
        Voucher.redemption_count,
        Voucher.used_at,
        Voucher.disabled_at,
        Voucher.created_at,
        Voucher.claimed_at,
        literal_column("vouchers.archived_at", Voucher.created_at.type).label("archived_at"),
    )
    .join(Offer, Offer.id == Voucher.offer_id)
    .outerjoin(Customer, Customer.id == Voucher.customer_id)
    .where(Voucher.code_key == bindparam("key"))
)

_holds = text(f"""
    SELECT hold_id, email, to_timestamp(until) AS held_until
    FROM vouchers, LATERAL (
        SELECT id, (terms->>'customer')::bigint, (terms->>'until')::numeric FROM {open_holds}
    ) AS held (hold_id, customer_id, until)
    JOIN customers ON customers.id = held.customer_id
    WHERE code_key = :key
    ORDER BY until""")

shown_redemptions = (
    ledger.redemptions.where(Redemption.code_key == bindparam("key"))
    .order_by(Redemption.redeemed_at.desc())
    .limit(history_shown)
)

_attempts = (
    select(
        Customer.email,
        RefusedAttempt.reason,
        RefusedAttempt.action,
        RefusedAttempt.order_ref,
        RefusedAttempt.attempted_at,
    )
    .outerjoin(Customer, Customer.id == RefusedAttempt.customer_id)
    .where(RefusedAttempt.code_key == bindparam("key"))
    .order_by(RefusedAttempt.attempted_at.desc())
)

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

remember_one = (
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
