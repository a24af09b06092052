"""Changes one voucher, under its row's lock."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, text, update

from voucherpool.audit import service as audit
from voucherpool.claims.models import Claim
from voucherpool.customers import service as customers
from voucherpool.database.model import db
from voucherpool.database.transactions import require_future
from voucherpool.events import event_types
from voucherpool.input.errors import InvalidInput
from voucherpool.support import service
from voucherpool.support.service import Record
from voucherpool.vouchers import events
from voucherpool.vouchers.errors import LimitBelowUses, VoucherInUse
from voucherpool.vouchers.models import Voucher, open_holds


def change(code: str, reason: str | None = None, **terms: Any) -> Record:
    """Change the given terms of a voucher, and return its record.

    They are `starts_at` and `expires_at` (None: without one), `max_redemptions`, `email` (the new
    customer), and `disabled`.

    Raises VoucherNotFound, VoucherArchived, CustomerNotFound, LimitBelowUses, VoucherInUse, and
    InvalidInput if the expiry is not in the future, or not after the start.
    """
    voucher = service.locked(code)
    before = _shown(voucher)
    _set_window(voucher, terms)
    if "max_redemptions" in terms:
        _set_limit(voucher, terms["max_redemptions"])
    if "email" in terms:
        _give_to(voucher, customers.id_of(terms["email"]))
    if "disabled" in terms:
        service.switch(voucher, off=terms["disabled"])
    db.session.flush()
    after = _shown(voucher)
    has_own_event = after["disabled"] and not before["disabled"]
    if after != before and not has_own_event:
        events.record(event_types.changed, voucher.code_key)
    audit.record("voucher.changed", voucher.code_key, before, after, reason)
    return service.lookup(code)


def _shown(voucher: Voucher) -> dict[str, object]:
    """Return what the audit log shows of a voucher."""
    names = ("starts_at", "expires_at", "max_redemptions", "customer_id")
    is_disabled = voucher.disabled_at is not None
    return {**{name: getattr(voucher, name) for name in names}, "disabled": is_disabled}


def _set_window(voucher: Voucher, terms: Mapping[str, Any]) -> None:
    if not terms.keys() & {"starts_at", "expires_at"}:
        return
    require_future(terms.get("expires_at"))
    starts_at = terms.get("starts_at", voucher.starts_at)
    expires_at = terms.get("expires_at", voucher.expires_at)
    if starts_at and expires_at and starts_at >= expires_at:
        raise InvalidInput({"starts_at": ["Must be before the expiry."]})
    voucher.starts_at, voucher.expires_at = starts_at, expires_at


def _set_limit(voucher: Voucher, limit: int) -> None:
    if limit < voucher.redemption_count + _open_holds(voucher):
        raise LimitBelowUses
    is_used_up = limit == voucher.redemption_count
    voucher.used_at = (voucher.used_at or func.now()) if is_used_up else None
    voucher.max_redemptions = limit


def _give_to(voucher: Voucher, customer_id: int) -> None:
    """Bind the voucher to another customer; a claim that took it is from now on theirs."""
    if voucher.customer_id == customer_id:
        return
    if voucher.was_redeemed or _open_holds(voucher):
        raise VoucherInUse
    voucher.customer_id = customer_id
    this = (Claim.code_key == voucher.code_key, Claim.claimed_at == voucher.claimed_at)
    db.session.execute(update(Claim).where(*this).values(customer_id=customer_id))


def _open_holds(voucher: Voucher) -> int:
    count: int = db.session.scalar(count_open_holds, {"key": voucher.code_key})
    return count


count_open_holds = text(f"SELECT count(*) FROM vouchers, {open_holds} AND code_key = :key")
