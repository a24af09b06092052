"""Records what happened, in the transaction that causes it, if somebody subscribed to it."""

from collections.abc import Collection

from voucherpool.database.statements import Statement
from voucherpool.events import event_types
from voucherpool.events.subscribers import has_subscribers
from voucherpool.vouchers.models import expiry


def record(type_: str, code_key: str, *, announced: bool = False) -> None:
    """Record an event of a voucher, if somebody subscribed to its type.

    An `announced` event also causes an e-mail to the customer, so it is always recorded.
    """
    record_one.run({"type": type_, "key": code_key, "announced": announced})


def record_announced(code_keys: Collection[str]) -> None:
    """Record that vouchers were issued, one event for each; their customers get an e-mail."""
    record_issued.run({"keys": ",".join(code_keys)})


def record_many(type_: str, code_keys: Collection[str]) -> None:
    """Record an event of each of the vouchers, if somebody subscribed to its type."""
    record_each.run({"type": type_, "keys": ",".join(code_keys)})


def record_expiring(code_keys: Collection[str], days_before: int) -> None:
    """Record that vouchers expire in so many days, if somebody subscribed to that."""
    record_reminders.run({"keys": ",".join(code_keys), "days": days_before})


def _utc(moment: str) -> str:
    """Return a moment as RFC 3339 writes it; PostgreSQL's JSON has the session's time zone."""
    return f"""to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


voucher_data = f"""jsonb_build_object(
            'code', vouchers.code,
            'customer_id', vouchers.customer_id,
            'offer_id', vouchers.offer_id,
            'offer_name', offers.name,
            'discount', coalesce(vouchers.frozen_discount, offers.discount),
            'discount_type', offers.discount_type,
            'currency', offers.currency,
            'expires_at', {_utc(expiry)},
            'max_redemptions', vouchers.max_redemptions,
            'redemption_count', vouchers.redemption_count,
            'disabled_at', {_utc("vouchers.disabled_at")},
            'batch_id', vouchers.batch_id
        )"""
"""A voucher as its events show it, with its offer."""

redemption_data = f"""jsonb_build_object(
            'id', redemptions.id,
            'customer_id', redemptions.customer_id,
            'order_ref', redemptions.order_ref,
            'order_amount', redemptions.order_amount,
            'currency', redemptions.currency,
            'discount', redemptions.discount,
            'discount_amount', redemptions.discount_amount,
            'redeemed_at', {_utc("redemptions.redeemed_at")},
            'reversed_at', {_utc("redemptions.reversed_at")},
            'metadata', redemptions.metadata
        )"""
"""A redemption as its events show it."""

voucher_columns = ", ".join(
    f"vouchers.{name}"
    for name in (
        *("code_key", "code", "customer_id", "offer_id", "frozen_discount", "expires_at"),
        *("max_redemptions", "redemption_count", "disabled_at", "batch_id"),
    )
)
"""The columns of a written voucher that its event shows."""

record_one = Statement(
    "record_event",
    tuple,
    f"""
    INSERT INTO events (code_key, type, customer_id, announced, data)
    SELECT vouchers.code_key, :type, vouchers.customer_id, :announced,
        jsonb_build_object('voucher', {voucher_data})
    FROM vouchers JOIN offers ON offers.id = vouchers.offer_id
    WHERE vouchers.code_key = :key AND (:announced OR {has_subscribers(":type")})""",
    {"type": "text", "key": "text", "announced": "boolean"},
)

# PostgreSQL reads one text faster than a large array; no code has a comma.
_is_listed = "vouchers.code_key = ANY(string_to_array(:keys, ','))"

record_issued = Statement(
    "record_issued",
    tuple,
    f"""
    INSERT INTO events (code_key, type, customer_id, announced, data)
    SELECT vouchers.code_key, '{event_types.issued}', vouchers.customer_id, true,
        jsonb_build_object('voucher', {voucher_data})
    FROM vouchers JOIN offers ON offers.id = vouchers.offer_id
    WHERE {_is_listed}""",
    {"keys": "text"},
)

record_each = Statement(
    "record_each",
    tuple,
    f"""
    INSERT INTO events (code_key, type, customer_id, data)
    SELECT vouchers.code_key, :type, vouchers.customer_id,
        jsonb_build_object('voucher', {voucher_data})
    FROM vouchers JOIN offers ON offers.id = vouchers.offer_id
    WHERE {_is_listed} AND {has_subscribers(":type")}""",
    {"type": "text", "keys": "text"},
)

record_reminders = Statement(
    "record_reminders",
    tuple,
    f"""
    INSERT INTO events (code_key, type, customer_id, data)
    SELECT vouchers.code_key, '{event_types.expiring}', vouchers.customer_id,
        jsonb_build_object('voucher', {voucher_data}, 'days_before', :days)
    FROM vouchers JOIN offers ON offers.id = vouchers.offer_id
    WHERE {_is_listed} AND {has_subscribers(f"'{event_types.expiring}'")}""",
    {"keys": "text", "days": "bigint"},
)
