"""Counts an offer's issued and claimed vouchers by day."""

from sqlalchemy import BigInteger, Date, bindparam, cast, func
from sqlalchemy.dialects.postgresql import insert

from voucherpool.database.model import db
from voucherpool.offers.models import OfferCounts

slots = 16


def count(offer_id: int, *, issued: int = 0, claimed: int = 0) -> None:
    """Add to the offer's counts of today; call it last, because it locks a shared row."""
    db.session.execute(add, {"offer_id": offer_id, "issued": issued, "claimed": claimed})


_new = insert(OfferCounts.__table__).values(
    offer_id=bindparam("offer_id", type_=BigInteger),
    day=cast(func.timezone("UTC", func.now()), Date),
    slot=func.pg_backend_pid() % slots,
    issued=bindparam("issued", type_=BigInteger),
    claimed=bindparam("claimed", type_=BigInteger),
)
add = _new.on_conflict_do_update(
    index_elements=["offer_id", "day", "slot"],
    set_={
        "issued": OfferCounts.issued + _new.excluded.issued,
        "claimed": OfferCounts.claimed + _new.excluded.claimed,
    },
)
