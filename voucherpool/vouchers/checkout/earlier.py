"""Earlier redemptions: a voucher that its order has redeemed is not redeemed again."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.vouchers.archived import with_archive
from voucherpool.vouchers.checkout.redeem_sql import Redeemed
from voucherpool.vouchers.errors import OrderMismatch, RedemptionReversed


def repeated(request: dict[str, object], customer_id: int | None, currency: str | None) -> Redeemed:
    """Return the order's redemption if customer, amount and any currency given are the same.

    A check that names no customer may be theirs. Raises OrderMismatch, RedemptionReversed and
    LostRace.
    """
    earlier = earlier_redemption.one_or_none(
        {"key": request["key"], "order_ref": request["order_ref"]}
    )
    if earlier is None:
        raise LostRace  # it was archived or purged meanwhile
    is_theirs = request["email"] is None or customer_id == earlier.customer_id
    if not is_theirs or request["order_amount"] != earlier.order_amount:
        raise OrderMismatch
    if currency not in (None, earlier.currency):
        raise OrderMismatch
    if earlier.reversed_at is not None:
        raise RedemptionReversed
    return Redeemed(**{name: getattr(earlier, name) for name in Redeemed._fields})


class Earlier(NamedTuple):
    """The redemption of an order, and what a repeat must name alike."""

    id: str
    redeemed_at: datetime
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None
    metadata: dict[str, str] | None
    customer_id: int
    order_amount: Decimal | None
    reversed_at: datetime | None


earlier_redemption = Statement(
    "earlier_redemption",
    Earlier,
    f"""{with_archive}
    SELECT id::text, redeemed_at, discount, discount_type, currency, discount_amount, metadata,
        customer_id, order_amount, reversed_at
    FROM redemptions WHERE code_key = :key AND order_ref = :order_ref""",
    {"key": "text", "order_ref": "text"},
)
