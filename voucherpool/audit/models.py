"""The table of the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Identity, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from voucherpool.database.model import Model


class AuditEntry(Model):
    """One administrative write: who did it, to what, and why.

    `subject` is the kind of thing, `subject_id` its id; a voucher's is its code in normal form.
    `before` and `after` hold the fields that changed: `before` is NULL for what is new, `after` for
    what is gone. They name people by their ids; only those of a customer hold an e-mail and a name,
    which an erasure removes.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        CheckConstraint("actor <> ''", name="actor"),
        CheckConstraint("reason <> ''", name="reason"),
        Index("audit_log_created_at_id_idx", "created_at", "id"),
        Index("audit_log_subject_idx", "subject", "subject_id", "created_at", "id"),
        Index("audit_log_action_idx", "action", "created_at", "id"),
        Index("audit_log_actor_idx", "actor", "created_at", "id"),
        Index("audit_log_api_key_id_idx", "api_key_id", "created_at", "id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # Without a foreign key: the entry outlives what it names.
    api_key_id: Mapped[int | None]
    api_key: Mapped[str | None]
    actor: Mapped[str | None]
    request_id: Mapped[str | None]
    action: Mapped[str]
    subject: Mapped[str]
    subject_id: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    reason: Mapped[str | None]
