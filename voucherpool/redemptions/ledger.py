"""The query of redemptions, including the archive, as they are shown."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import func, literal_column, select, true

from voucherpool.customers.models import Customer
from voucherpool.offers.models import Offer
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.models import Redemption, Voucher


class Entry(NamedTuple):
    """A row of the ledger."""

    id: uuid.UUID
    code: str
    email: str | None
    offer_name: str
    order_ref: str | None
    order_amount: Decimal | None
    discount: Decimal
    discount_type: str
    currency: str | None
    discount_amount: Decimal | None
    redeemed_at: datetime
    reversed_at: datetime | None
    kind: str
    metadata: dict[str, str] | None
    code_key: str
    is_archived: bool


# The limit makes PostgreSQL look up each voucher by its index. It estimates the union of hot table
# and archive badly and would otherwise scan both.
voucher = (
    select(Voucher.code, Voucher.batch_id)
    .where(Voucher.code_key == Redemption.code_key)
    .limit(1)
    .lateral("voucher")
)

# A subquery, because PostgreSQL expects too few rows from a join and would sort them.
_offer_name = select(Offer.name).where(Offer.id == Redemption.offer_id).scalar_subquery()

redemptions = including_archive(
    select(
        *(Redemption.id, voucher.c.code, Customer.email, _offer_name.label("offer_name")),
        *(Redemption.order_ref, Redemption.order_amount),
        *(Redemption.discount, Redemption.discount_type),
        *(Redemption.currency, Redemption.discount_amount),
        *(Redemption.redeemed_at, Redemption.reversed_at),
        func.coalesce(Redemption.kind, "redeemed").label("kind"),
        *(Redemption.metadata_.label("metadata"), Redemption.code_key),
        literal_column("redemptions.archived_at IS NOT NULL").label("is_archived"),
    )
    .select_from(Redemption)
    .join(voucher, true())
    .outerjoin(Customer, Customer.id == Redemption.customer_id)
)
"""The columns of an Entry."""
