"""What is done with offers."""

from decimal import Decimal

from sqlalchemy.dialects.postgresql import insert

from voucherpool.db import db
from voucherpool.offers.models import Offer


def ensure(name: str, discount: Decimal) -> bool:
    """Create the offer unless the name is known; return whether it was created.

    A known offer keeps its discount.
    """
    created = db.session.execute(
        insert(Offer)
        .values(name=name, discount=discount)
        .on_conflict_do_nothing(index_elements=[Offer.name])
        .returning(Offer.id)
    )
    return created.scalar() is not None
