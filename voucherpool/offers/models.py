"""The offers' table."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, Identity, func
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.db import Model


class Offer(Model):
    """A special offer; `discount` is a percentage with at most 2 decimals."""

    __tablename__ = "offers"
    __table_args__ = (
        CheckConstraint("name <> '' AND length(name) <= 200", name="name"),
        CheckConstraint("discount > 0 AND discount <= 100", name="discount_range"),
        # Not numeric(5, 2), which would round what it should refuse.
        CheckConstraint("discount = round(discount, 2)", name="discount_scale"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    discount: Mapped[Decimal]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
