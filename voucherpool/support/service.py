"""Support: a voucher's whole record, disabling, enabling, and refused attempts."""

from collections.abc import Mapping

from sqlalchemy import (
    bindparam,
    func,
    literal_column,
    select,
    text,
)

from voucherpool.audit import service as audit
from voucherpool.claims.models import Claim
from voucherpool.customers.models import Customer
from voucherpool.database import paging
from voucherpool.database.model import db
from voucherpool.database.paging import Position
from voucherpool.events import event_types
from voucherpool.offers.models import Offer
from voucherpool.redemptions import ledger
from voucherpool.vouchers import codes, events
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.eligibility import rules
from voucherpool.vouchers.errors import VoucherArchived, VoucherNotFound
from voucherpool.vouchers.models import Redemption, RefusedAttempt, Voucher, open_holds

Record = Mapping[str, object]


history_shown = 100
"""The number of a voucher's redemptions shown at a time, and of changes."""


def lookup(code: str, after: Position | None = None) -> Record:
    """Return a voucher with its claim, holds, redemptions, changes and refused attempts.

    The redemptions are the newest, or those before a position. Raises VoucherNotFound.
    """
    key = codes.normal_form(code)
    voucher = db.session.execute(record, {"key": key}).mappings().one_or_none()
    if voucher is None:
        raise VoucherNotFound("No voucher has this code.")
    claimed = {"key": key, "claimed_at": voucher["claimed_at"]}
    history = ledger.redemptions.where(Redemption.code_key == key)
    page = paging.fetch(history, newest, history_shown, after, newest_first=True)
    return {
        **voucher,
        "claim_ref": db.session.scalar(_claim_ref, claimed),
        "holds": db.session.execute(_holds, {"key": key}).all(),
        "redemptions": page.items,
        "next_redemptions": page.next,
        "changes": audit.list_entries(history_shown, subject="voucher", subject_id=key).items,
        "refused_attempts": db.session.execute(_attempts, {"key": key}).all(),
    }


def disable(code: str, reason: str | None = None) -> Record:
    """Disable a voucher until it is enabled; return its record.

    Raises VoucherNotFound and VoucherArchived.
    """
    voucher = locked(code)
    if switch(voucher, off=True):
        audit.record("voucher.disabled", voucher.code_key, reason=reason)
    return lookup(code)


def enable(code: str, reason: str | None = None) -> Record:
    """Enable a disabled voucher; return its record.

    Raises VoucherNotFound and VoucherArchived.
    """
    voucher = locked(code)
    if switch(voucher, off=False):
        events.record(event_types.changed, voucher.code_key)
        audit.record("voucher.enabled", voucher.code_key, reason=reason)
    return lookup(code)


def switch(voucher: Voucher, *, off: bool) -> bool:
    """Disable or enable a locked voucher; return whether it was not so already."""
    if off == (voucher.disabled_at is not None):
        return False
    voucher.disabled_at = func.now() if off else None
    if off:
        events.record(event_types.disabled, voucher.code_key)
    return True


def locked(code: str) -> Voucher:
    """Return a voucher, locked until the transaction ends.

    Raises VoucherNotFound and VoucherArchived.
    """
    voucher = db.session.get(Voucher, codes.normal_form(code), with_for_update=True)
    if voucher is None:
        lookup(code)
        raise VoucherArchived
    return voucher


record = including_archive(
    select(
        Voucher.code,
        Customer.email,
        Offer.name.label("offer_name"),
        rules.current_discount.label("discount"),
        Offer.discount_type,
        Offer.currency,
        Voucher.frozen_discount.is_not(None).label("frozen"),
        Voucher.starts_at,
        Voucher.expires_at,
        Voucher.max_redemptions,
        Voucher.redemption_count,
        Voucher.used_at,
        Voucher.disabled_at,
        Voucher.created_at,
        Voucher.claimed_at,
        Voucher.batch_id,
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

newest = (Redemption.redeemed_at, Redemption.id)

_claim_ref = select(Claim.claim_ref).where(
    Claim.code_key == bindparam("key"),
    Claim.claimed_at == bindparam("claimed_at", type_=Claim.claimed_at.type),
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
