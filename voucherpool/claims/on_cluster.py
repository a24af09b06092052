"""Claims on a Citus cluster, by several statements in the open transaction.

Citus skips what is locked only if the code is named, so that a claim takes one of the first
vouchers, not the first.
"""

import random
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert

from voucherpool.claims import pool
from voucherpool.claims.models import Claim
from voucherpool.claims.pool import Taken
from voucherpool.database.model import db
from voucherpool.database.statements import Statement
from voucherpool.events import event_types
from voucherpool.offers import counts
from voucherpool.vouchers.models import expiry
from voucherpool.vouchers.on_cluster import record_event


def take(ids: Mapping[str, object]) -> Taken | None:
    """Take one of the first vouchers of the pool; None if all are taken or the claim is known."""
    offer_id, claim_ref = ids["offer_id"], ids["claim_ref"]
    who = {"offer_id": offer_id, "customer_id": ids["customer_id"]}
    key = _locked_candidate(offer_id)
    if key is None:
        return None
    if claim_ref is not None:
        # Waits for a concurrent request with this claim_ref.
        claim = insert(Claim).values(**who, claim_ref=claim_ref, code_key=key)
        claim = claim.on_conflict_do_nothing(index_elements=["offer_id", "claim_ref"])
        if db.session.scalar(claim.returning(Claim.offer_id)) is None:
            return None
    if count_for_customer.one_or_none({**who, "claim_limit": ids["claim_limit"]}) is None:
        return None
    this = {"key": key, "customer_id": ids["customer_id"], "timezone": ids["timezone"]}
    [taken] = take_candidate.all(this)
    record_event(event_types.claimed, key)
    add_claimed.run({"offer_id": offer_id})
    return taken


def _locked_candidate(offer_id: object) -> str | None:
    found = pool.candidates.all({"offer_id": offer_id})
    first = random.randrange(len(found)) if found else 0  # noqa: S311
    for candidate in (*found[first:], *found[:first]):
        if pool.lock_candidate.one_or_none({"offer_id": offer_id, "key": candidate.code_key}):
            return candidate.code_key
    return None


class Counted(NamedTuple):
    """A customer whose claim was counted."""

    customer_id: int


count_for_customer = Statement(
    "count_claim_of_customer",
    Counted,
    f"""
    INSERT INTO claim_counts AS counts (offer_id, customer_id, claimed)
    VALUES (:offer_id, :customer_id, 1){pool.count_claim}""",
    {"offer_id": "bigint", "customer_id": "bigint", "claim_limit": "bigint"},
)

take_candidate = Statement(
    "claim_on_cluster",
    Taken,
    f"""
    UPDATE vouchers
    SET customer_id = :customer_id, claimed_at = now(), expires_at = {pool.expiry_by_claim}
    WHERE code_key = :key
    RETURNING code, {expiry} AS expires_at""",
    {"key": "text", "customer_id": "bigint", "timezone": "text"},
)

add_claimed = Statement(
    "count_claimed",
    tuple,
    counts.add_to_counts("claimed", f"VALUES (:offer_id, {counts.today}, 1)"),
    {"offer_id": "bigint"},
)
