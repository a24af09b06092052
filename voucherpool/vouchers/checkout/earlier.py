"""Earlier redemptions: a voucher that its order has redeemed is not redeemed again."""

from decimal import Decimal
from typing import NamedTuple

from voucherpool.database.retries import LostRace
from voucherpool.database.statements import Statement
from voucherpool.vouchers.archived import with_archive
from voucherpool.vouchers.checkout.redeem_sql import Redeemed, redeemed_columns
from voucherpool.vouchers.errors import OrderMismatch, RedemptionReversed


def repeated(request: dict[str, object], customer_id: int | None, currency: str | None) -> Redeemed:
    """Return the order's redemption if customer, amount and any currency given are the same.

    A check that names no customer may be theirs. Raises OrderMismatch, RedemptionReversed and
    LostRace.
    """
    this = {"key": request["key"], "order_ref": request["order_ref"]}
    earlier, redeemed = earlier_order.one_or_none(this), earlier_redemption.one_or_none(this)
    if earlier is None or redeemed is None:
        raise LostRace  # it was archived or purged meanwhile
    is_theirs = request["email"] is None or customer_id == earlier.customer_id
    if not is_theirs or request["order_amount"] != earlier.order_amount:
        raise OrderMismatch
    if currency not in (None, redeemed.currency):
        raise OrderMismatch
    if earlier.is_reversed:
        raise RedemptionReversed
    return redeemed


class EarlierOrder(NamedTuple):
    """What a repeat must name alike, and whether the redemption was given back."""

    customer_id: int
    order_amount: Decimal | None
    is_reversed: bool


_of_order = "FROM redemptions WHERE code_key = :key AND order_ref = :order_ref"
_types = {"key": "text", "order_ref": "text"}

earlier_order = Statement(
    "earlier_order",
    EarlierOrder,
    f"""{with_archive}
    SELECT customer_id, order_amount, reversed_at IS NOT NULL AS is_reversed {_of_order}""",
    _types,
)
earlier_redemption = Statement(
    "earlier_redemption", Redeemed, f"{with_archive} SELECT {redeemed_columns} {_of_order}", _types
)
