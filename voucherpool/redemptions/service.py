"""Lists redemptions, and gives them back."""

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Text, Uuid, bindparam, or_, select, text

from voucherpool.audit import service as audit
from voucherpool.customers import service as customers
from voucherpool.customers.models import Customer
from voucherpool.database import paging
from voucherpool.database.model import db
from voucherpool.database.paging import Page, Position
from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.events import event_types, subscribers
from voucherpool.input.errors import InvalidInput
from voucherpool.redemptions.errors import RedemptionNotFound
from voucherpool.redemptions.ledger import Entry, redemptions
from voucherpool.vouchers import events
from voucherpool.vouchers.archived import with_archive
from voucherpool.vouchers.eligibility import budgets
from voucherpool.vouchers.errors import VoucherArchived
from voucherpool.vouchers.models import Redemption, Voucher


class GivenBack(NamedTuple):
    """What a redemption that was given back had taken off an order."""

    offer_id: int
    has_budget: bool
    discount_amount: Decimal | None
    currency: str | None


def list_redemptions(
    limit: int,
    email: str | None = None,
    order_ref: str | None = None,
    after: Position | None = None,
) -> Page:
    """Return up to `limit` redemptions of a customer, an order or both, the oldest first.

    Raises CustomerNotFound, and InvalidInput if neither is given.
    """
    if email is None and order_ref is None:
        raise InvalidInput({"email": ["Give an email, an order_ref, or both."]})
    statement = redemptions
    if email is not None:
        statement = statement.where(Customer.id == customers.id_of(email))
    if order_ref is not None:
        statement = statement.where(Redemption.order_ref == order_ref)
    return paging.fetch(statement, (Redemption.redeemed_at, Redemption.id), limit, after)


class Discounted(NamedTuple):
    """What the vouchers of an order took off in all, in a currency."""

    currency: str
    amount: Decimal


def discounted(order_ref: str | None) -> Sequence[Discounted] | None:
    """Return how much an order's vouchers took off, without what was given back."""
    return None if order_ref is None else sums.all({"order_ref": order_ref})


def reverse(redemption_id: uuid.UUID, reason: str | None = None) -> Entry:
    """Give a redemption back and return it; a repeat changes nothing.

    Raises RedemptionNotFound, VoucherArchived and LostRace.
    """
    if _give_all_back(given := {"this": redemption_id, "order": None}):
        audit.record("redemption.reversed", redemption_id, reason=reason)
    return _found(given)[0]


def reverse_order(order_ref: str, reason: str | None = None) -> Sequence[Entry]:
    """Give all redemptions of an order back and return them.

    Raises RedemptionNotFound if there is none, VoucherArchived if a live one is archived (none is
    given back then), and LostRace.
    """
    if live := _give_all_back(given := {"this": None, "order": order_ref}):
        ids = {"redemptions": [redemption.id for redemption in live]}
        audit.record("order.reversed", order_ref, after=ids, reason=reason)
    return _found(given)


def forget(customer_id: int) -> None:
    """Remove the metadata of a customer's redemptions; call this in the erasure."""
    for statement in forget_metadata:
        db.session.execute(statement, {"customer_id": customer_id})


def _give_all_back(given: Mapping[str, object]) -> Sequence[Entry]:
    """Give those of the redemptions back that are live, and return these."""
    found = _found(given)
    if not found:
        raise RedemptionNotFound
    live = [redemption for redemption in found if redemption.reversed_at is None]
    # Sorted, because two requests that lock the same rows in different orders can deadlock.
    given_back = [
        part
        for redemption in sorted(live, key=lambda redemption: redemption.code_key)
        for part in _give_back(redemption)
    ]
    for part in sorted(given_back, key=lambda part: part.offer_id):
        if part.has_budget:
            budgets.add(part.offer_id, -1, -(part.discount_amount or Decimal(0)), part.currency)
    return live


def _found(given: Mapping[str, object]) -> Sequence[Entry]:
    return [Entry(*row) for row in db.session.execute(given_redemptions, given)]


def _give_back(redemption: Entry) -> Sequence[GivenBack]:
    """Give one use back under its voucher's lock, unless another request was first."""
    this = {"key": redemption.code_key, "id": str(redemption.id)}
    if redemption.is_archived:
        raise VoucherArchived(
            f"Redemption {redemption.id} is archived: it can no longer be given back."
        )
    if not lock_voucher.one_or_none({"key": redemption.code_key}):
        raise LostRace  # it was archived meanwhile, perhaps given back before
    return give_back.all(this)


sums = Statement(
    "discounted_of_order",
    Discounted,
    f"""{with_archive}
    SELECT currency, sum(discount_amount) AS amount
    FROM redemptions
    WHERE order_ref = :order_ref AND reversed_at IS NULL AND discount_amount IS NOT NULL
    GROUP BY currency ORDER BY currency""",
    {"order_ref": "text"},
)

forget_metadata = tuple(
    text(f"""
        UPDATE {table} SET metadata = NULL
        WHERE customer_id = :customer_id AND metadata IS NOT NULL""")
    for table in ("redemptions", "archived_redemptions")
)

_given = or_(
    Redemption.id == bindparam("this", type_=Uuid),
    Redemption.order_ref == bindparam("order", type_=Text),
)

given_redemptions = redemptions.where(_given).order_by(Redemption.redeemed_at, Redemption.id)


class CodeKey(NamedTuple):
    """A voucher's code in normal form."""

    code_key: str


lock_voucher = Statement(
    "lock_voucher",
    CodeKey,
    select(Voucher.code_key).where(Voucher.code_key == bindparam("key")).with_for_update(),
)


give_back = Statement(
    "give_back",
    GivenBack,
    f"""
    WITH reversed AS (
        UPDATE redemptions
        -- It may be redeemed later than this transaction's now(), if its row was waited for.
        SET reversed_at = greatest(now(), redeemed_at)
        WHERE code_key = :key AND id = :id AND reversed_at IS NULL
        RETURNING *
    ),
    voucher AS (
        UPDATE vouchers
        -- An earlier release may have redeemed it, without the mark.
        SET redemption_count = redemption_count - 1, used_at = NULL, was_redeemed = true
        FROM reversed
        WHERE vouchers.code_key = :key AND reversed.code_key = vouchers.code_key
        RETURNING {events.voucher_columns}
    ),
    event AS (
        INSERT INTO events (code_key, type, customer_id, data)
        SELECT redemptions.code_key, '{event_types.reversed_}', redemptions.customer_id,
            jsonb_build_object(
                'voucher', {events.voucher_data}, 'redemption', {events.redemption_data}
            )
        FROM voucher AS vouchers, reversed AS redemptions, offers
        WHERE offers.id = vouchers.offer_id
            AND {subscribers.has_subscribers(f"'{event_types.reversed_}'")}
    )
    SELECT offers.id AS offer_id, NOT ({budgets.is_absent}) AS has_budget,
        reversed.discount_amount, reversed.currency
    FROM reversed JOIN offers ON offers.id = reversed.offer_id""",
    {"key": "text", "id": "uuid"},
)
"""Marks a redemption as reversed and gives its use back, once."""
