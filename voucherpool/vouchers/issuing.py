"""Issues vouchers."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy.dialects.postgresql import insert

from voucherpool.customers import service as customers
from voucherpool.database.model import db
from voucherpool.database.transactions import after_commit, require_future
from voucherpool.errors import VoucherExists
from voucherpool.observability import metrics
from voucherpool.offers import counts
from voucherpool.offers import service as offers
from voucherpool.vouchers import archived, codes, event_types, events
from voucherpool.vouchers.models import Voucher

attempts = 5  # a collision of 60-bit codes is rare: five in a row mean a broken generator


def issue(
    email: str | None,
    offer_name: str,
    expires_at: datetime,
    *,
    discount: Decimal | None = None,
    code: str | None = None,
    max_redemptions: int = 1,
    freeze_discount: bool = False,
    notify: bool = False,
) -> str:
    """Issue one voucher and return its code; without an e-mail it is unbound.

    Creates the offer if its name is new, otherwise sets its discount (a percentage) if one is
    given. Later changes of the offer do not affect a frozen discount. With `notify` the customer
    gets an e-mail.

    Raises CustomerNotFound, OfferNotPercentage, OfferDiscountDiffers if another discount is locked,
    VoucherExists if the chosen code is taken, and InvalidInput if the expiry is not in the future
    or a new offer has no discount.
    """
    require_future(expires_at)
    customer_id = None if email is None else customers.id_of(email)
    offer = offers.at_discount(offer_name, discount)
    issued = _insert(
        code,
        offer_id=offer.id,
        customer_id=customer_id,
        expires_at=expires_at,
        max_redemptions=max_redemptions,
        frozen_discount=offer.discount if freeze_discount else None,
    )
    events.record(event_types.issued, codes.normal_form(issued), announced=notify)
    counts.count(offer.id, issued=1)
    after_commit(metrics.issued.inc)
    return issued


def _insert(chosen: str | None, **terms: object) -> str:
    """Insert a voucher under the chosen code or a new random one, and return the code."""
    for _ in range(attempts):
        code = chosen or codes.generate()
        key = codes.normal_form(code)
        voucher = insert(Voucher).values(code=code, code_key=key, **terms)
        voucher = voucher.on_conflict_do_nothing(index_elements=[Voucher.code_key])
        inserted = db.session.scalar(voucher.returning(Voucher.code_key))
        # A generated code equals one of 100 million archived codes once in 11 thousand million.
        if inserted and not (chosen and archived.archived_codes([key])):
            return code
        if chosen:
            raise VoucherExists
    raise RuntimeError(f"{attempts} generated codes in a row were taken")
