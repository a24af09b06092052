"""Redeems vouchers: one statement takes a use, and writes the redemption and its event."""

import json
from collections.abc import Mapping
from decimal import Decimal

from voucherpool.database import cluster
from voucherpool.database.retries import LostRace, racing_for
from voucherpool.database.statements import Statement
from voucherpool.database.transactions import after_commit
from voucherpool.observability import metrics
from voucherpool.vouchers import on_cluster
from voucherpool.vouchers.checkout import earlier, redeem_sql
from voucherpool.vouchers.checkout.redeem_sql import Redeemed
from voucherpool.vouchers.eligibility import budgets, limits, state
from voucherpool.vouchers.eligibility.state import VoucherState


@racing_for("redemptions_order_ref_code_key_key")
def redeem(
    code: str,
    email: str,
    order_ref: str | None = None,
    order_amount: Decimal | None = None,
    currency: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Redeemed:
    """Take one use of a voucher and return its redemption.

    `order_amount` is in `currency`; `metadata` is kept with the redemption. The customer's own hold
    becomes the use. A repeat with the same order, customer and amount gets the first redemption.

    Raises rules.refusals, rules.order_refusals, OrderMismatch, RedemptionReversed and LostRace.
    """
    request = state.request(code, email, order_ref, order_amount, currency)
    short = on_cluster.redeem_short if cluster.is_cluster() else redeem_short
    entered = {"metadata": None if metadata is None else json.dumps(metadata)}
    redeemed = short.one_or_none(request | entered)
    if redeemed is None:
        voucher = state.read(request, state.for_redemption)
        if voucher.earlier_id is not None:
            return earlier.repeated(request, voucher.customer_id, currency)
        if voucher.refusal or voucher.order_refusal:
            raise state.refusal(voucher) or LostRace
        redeemed = _redeem_counting(request, entered, voucher)
    after_commit(metrics.redeemed.inc)
    return redeemed


def _redeem_counting(
    request: dict[str, object], entered: Mapping[str, object], voucher: VoucherState
) -> Redeemed:
    """Take a use of a voucher with holds, or of an offer with limits."""
    locks = []
    if voucher.customer_limit is not None:
        locks.append(limits.lock(voucher.offer_id, voucher.customer_id))
    if voucher.has_budget:
        locks.append(budgets.lock(voucher.offer_id))
    counting = on_cluster.redeem_counting if cluster.is_cluster() else redeem_counting
    counted = {"offer_id": voucher.offer_id, "customer_id": voucher.customer_id}
    asked, lock = {**request, **entered, **counted}, ";".join(locks)
    redeemed = counting.one_or_none(asked, before=lock)
    if redeemed is None:
        now = state.read(request, state.for_redemption)
        if now.earlier_id is not None:
            raise LostRace  # a concurrent request of the same order took the last use
        if refused := state.refusal(now):
            raise refused
        # That look counted a new budget; a retry would undo the count together with the rest.
        redeemed = counting.one_or_none(asked, before=lock)
    if redeemed is None:
        raise LostRace
    return redeemed


redeem_short = Statement(
    "redeem",
    Redeemed,
    redeem_sql.redeem_short,
    redeem_sql.types,
)
redeem_counting = Statement(
    "redeem_counting",
    Redeemed,
    redeem_sql.redeem_counting,
    redeem_sql.types | limits.types,
)
