"""Claims on a Citus cluster, by several statements in the open transaction.

Citus skips what is locked only if the code is named, so that a claim takes one of the first
vouchers, not the first.
"""

import random
from collections.abc import Mapping

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert

from voucherpool.claims import pool
from voucherpool.claims.models import Claim
from voucherpool.claims.pool import Taken
from voucherpool.database.model import db
from voucherpool.database.statements import Statement
from voucherpool.events import event_types
from voucherpool.offers import counts
from voucherpool.vouchers.models import Voucher
from voucherpool.vouchers.on_cluster import record_event


def take(ids: Mapping[str, object]) -> Taken | None:
    """Take one of the first vouchers of the pool; None if all are taken or the claim is known."""
    offer_id, claim_ref = ids["offer_id"], ids["claim_ref"]
    key = _locked_candidate(offer_id)
    if key is None:
        return None
    if claim_ref is not None:
        # Waits for a concurrent request with this claim_ref.
        claim = insert(Claim).values(**ids, code_key=key)
        claim = claim.on_conflict_do_nothing(index_elements=["offer_id", "claim_ref"])
        if db.session.scalar(claim.returning(Claim.offer_id)) is None:
            return None
    taken = db.session.execute(
        update(Voucher)
        .where(Voucher.code_key == key)
        .values(customer_id=ids["customer_id"], claimed_at=func.now())
        .returning(Voucher.code, Voucher.expires_at)
    ).one()
    record_event(event_types.claimed, key)
    add_claimed.run({"offer_id": offer_id})
    return Taken(*taken)


def _locked_candidate(offer_id: object) -> str | None:
    found = pool.candidates.all({"offer_id": offer_id})
    first = random.randrange(len(found)) if found else 0  # noqa: S311
    for candidate in (*found[first:], *found[:first]):
        if pool.lock_candidate.one_or_none({"offer_id": offer_id, "key": candidate.code_key}):
            return candidate.code_key
    return None


add_claimed = Statement(
    "count_claimed",
    tuple,
    counts.add_to_counts("claimed", f"VALUES (:offer_id, {counts.today}, 1)"),
    {"offer_id": "bigint"},
)
