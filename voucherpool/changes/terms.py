"""The terms of a change of many vouchers, and their SQL."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

Expiry = datetime | timedelta | None
"""A moment, the days to add, or None for never."""

chosen = {
    "all": "true",
    "unused": "vouchers.redemption_count = 0",
    "unclaimed": "vouchers.redemption_count = 0 AND vouchers.customer_id IS NULL",
}
"""The conditions of the vouchers that a change is about, by the word of a request."""

# In local time, so that an expiry at the end of a day stays there when the clocks change.
_later = """(
        vouchers.expires_at AT TIME ZONE :timezone + CAST(:add AS interval)
    ) AT TIME ZONE :timezone"""
# The latest moment that a request may name; infinity stays what it is.
_may_be_later = f"isfinite(vouchers.expires_at) AND {_later} < '2200-01-01Z'"


def as_json(terms: Mapping[str, Expiry | bool]) -> dict[str, object]:
    """Return the terms as their row keeps them: `{"expires_at": {"add": "7d"}}`."""
    kept: dict[str, object] = dict(terms)
    match terms.get("expires_at"):
        case datetime() as moment:
            kept["expires_at"] = moment.isoformat()
        case timedelta() as added:
            kept["expires_at"] = {"add": f"{added.days}d"}
    return kept


def parameters(terms: Mapping[str, Any]) -> dict[str, object]:
    """Return the values of the parameters that the SQL of the kept terms names, but the zone."""
    if "expires_at" not in terms:
        return {}
    expires_at = terms["expires_at"]
    if isinstance(expires_at, Mapping):
        return {"add": expires_at["add"]}
    return {"expires_at": expires_at or "infinity"}


def assignments(terms: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return each column that the kept terms write: its new value, and when that differs."""
    written = {}
    if isinstance(terms.get("expires_at"), Mapping):
        value = f"(SELECT CASE WHEN {_may_be_later} THEN {_later} ELSE vouchers.expires_at END)"
        written["expires_at"] = (value, _may_be_later)
    elif "expires_at" in terms:
        value = "CAST(:expires_at AS timestamptz)"
        written["expires_at"] = (value, f"vouchers.expires_at <> {value}")
    if "disabled" in terms:
        # The earlier moment, if it is disabled already.
        value = "least(vouchers.disabled_at, now())" if terms["disabled"] else "NULL"
        differs = f"vouchers.disabled_at IS {'' if terms['disabled'] else 'NOT '}NULL"
        written["disabled_at"] = (value, differs)
    return written


def differ(terms: Mapping[str, Any]) -> str:
    """Return the condition that a voucher does not have all of the kept terms."""
    return " OR ".join(f"({differs})" for _, differs in assignments(terms).values())
