"""The ledger, including the archive, as it is shown."""

from sqlalchemy import literal_column, select, true

from voucherpool.customers.models import Customer
from voucherpool.offers.models import Offer
from voucherpool.vouchers.archived import including_archive
from voucherpool.vouchers.models import Redemption, Voucher

# The limit makes PostgreSQL look each voucher up: it knows too little of the union of hot table and
# archive, and would rather read all of both.
_voucher = (
    select(Voucher.code).where(Voucher.code_key == Redemption.code_key).limit(1).lateral("voucher")
)

# Not joined: PostgreSQL would expect the join to leave few rows, and sort them.
_offer_name = select(Offer.name).where(Offer.id == Redemption.offer_id).scalar_subquery()

redemptions = including_archive(
    select(
        Redemption.id,
        _voucher.c.code,
        Customer.email,
        _offer_name.label("offer_name"),
        Redemption.order_ref,
        Redemption.order_amount,
        Redemption.discount,
        Redemption.discount_type,
        Redemption.currency,
        Redemption.discount_amount,
        Redemption.redeemed_at,
        Redemption.reversed_at,
        Redemption.code_key,
        literal_column("redemptions.archived_at IS NOT NULL").label("is_archived"),
    )
    .select_from(Redemption)
    .join(_voucher, true())
    .join(Customer, Customer.id == Redemption.customer_id)
)
