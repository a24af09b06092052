"""Takes a voucher out of an offer's pool, without waiting for other claimers."""

from datetime import datetime
from typing import NamedTuple

from voucherpool.database.statements import Statement
from voucherpool.events import event_types, subscribers
from voucherpool.offers import counts
from voucherpool.vouchers import events
from voucherpool.vouchers.eligibility import rules
from voucherpool.vouchers.models import expiry, open_holds


class Taken(NamedTuple):
    """A voucher taken from the pool."""

    code: str
    expires_at: datetime | None


claimable = f"""vouchers.customer_id IS NULL
        -- for the index
        AND vouchers.used_at IS NULL AND vouchers.was_redeemed IS NULL
        AND vouchers.redemption_count = 0
        AND {rules.met(rules.of_voucher)}
        AND (vouchers.holds IS NULL OR NOT EXISTS (SELECT FROM {open_holds}))
        AND NOT EXISTS (SELECT FROM redemptions WHERE redemptions.code_key = vouchers.code_key)"""
"""In its offer's pool: unbound, never used, not held, and redeemable, beside its offer.

A voucher whose use was given back does not return to the pool.
"""

expiry_by_claim = """(SELECT least(vouchers.expires_at, (
            date_trunc('day', now() AT TIME ZONE :timezone) + vouchers.valid_for + interval '1 day'
        ) AT TIME ZONE :timezone))"""
"""The expiry of a voucher that is claimed now: `valid_for` ends with a day in the time zone."""

count_claim = """
        ON CONFLICT (offer_id, customer_id) DO UPDATE SET claimed = counts.claimed + 1
            WHERE :claim_limit IS NULL OR counts.claimed < :claim_limit
        RETURNING customer_id"""
"""The end of the INSERT that counts a claim: no row comes back beyond the limit."""

_pool = f"""
        SELECT vouchers.code_key
        FROM vouchers JOIN offers ON offers.id = vouchers.offer_id
        WHERE vouchers.offer_id = :offer_id
        AND {claimable}{{more}}
        ORDER BY vouchers.expires_at, vouchers.issue_number
        LIMIT {{most}}"""

take_first = Statement(
    "claim",
    Taken,
    f"""
    WITH first AS ({_pool.format(more="", most=1)}
        FOR UPDATE OF vouchers SKIP LOCKED
    ),
    claim AS ( -- waits for a concurrent request with this claim_ref
        INSERT INTO claims (offer_id, claim_ref, customer_id, code_key)
        SELECT :offer_id, :claim_ref, :customer_id, code_key FROM first
        WHERE :claim_ref IS NOT NULL
        ON CONFLICT (offer_id, claim_ref) DO NOTHING
        RETURNING code_key
    ),
    allowed AS ( -- waits for a concurrent claim of the customer
        INSERT INTO claim_counts AS counts (offer_id, customer_id, claimed)
        SELECT :offer_id, :customer_id, 1 FROM first
        WHERE :claim_ref IS NULL OR EXISTS (SELECT FROM claim){count_claim}
    ),
    taken AS (
        UPDATE vouchers
        SET customer_id = :customer_id, claimed_at = now(), expires_at = {expiry_by_claim}
        FROM first, allowed
        WHERE vouchers.code_key = first.code_key
        RETURNING {events.voucher_columns}
    ),
    event AS (
        INSERT INTO events (code_key, type, customer_id, data)
        SELECT vouchers.code_key, '{event_types.claimed}', vouchers.customer_id,
            jsonb_build_object('voucher', {events.voucher_data})
        FROM taken AS vouchers, offers
        WHERE offers.id = vouchers.offer_id
            AND {subscribers.has_subscribers(f"'{event_types.claimed}'")}
    ),
    counted AS ({counts.add_to_counts("claimed", f"SELECT offer_id, {counts.today}, 1 FROM taken")}
    )
    SELECT code, {expiry} AS expires_at FROM taken AS vouchers""",
    {
        "offer_id": "bigint",
        "customer_id": "bigint",
        "claim_ref": "text",
        "claim_limit": "bigint",
        "timezone": "text",
    },
)
"""Takes the voucher that expires first, then the first issued, of those that nobody has locked."""


class CodeKey(NamedTuple):
    """A voucher in the pool, perhaps locked by a transaction that has not committed yet."""

    code_key: str


most_candidates = 64
"""With so many candidates, concurrent claimers that start at random rarely pick the same one."""

candidates = Statement(
    "claim_candidates",
    CodeKey,
    _pool.format(more="", most=most_candidates),
    {"offer_id": "bigint"},
)
lock_candidate = Statement(
    "lock_claim_candidate",
    CodeKey,
    _pool.format(more="\n        AND vouchers.code_key = :key", most=1)
    + "\n        FOR UPDATE OF vouchers SKIP LOCKED",
    {"offer_id": "bigint", "key": "text"},
)
