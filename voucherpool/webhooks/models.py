"""The table of replays."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model
from voucherpool.events.models import Webhook


class Replay(Model):
    """Events that a webhook gets again: those from `next_number` to `last_number` are left."""

    __tablename__ = "replays"

    webhook_id: Mapped[int] = mapped_column(
        ForeignKey(Webhook.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    next_number: Mapped[int]
    last_number: Mapped[int]
