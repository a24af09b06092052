"""The changes' requests and answers."""

import re
from datetime import datetime, timedelta

from marshmallow import ValidationError, fields, validate, validates_schema

from voucherpool.audit.schemas import Reason
from voucherpool.changes import terms
from voucherpool.input.fields import Flag
from voucherpool.input.schemas import Answer, page_of
from voucherpool.input.times import Expiry, Timestamp
from voucherpool.vouchers.schemas import Expiring

states = ("pending", "running", "done", "failed", "cancelled")
form = re.compile("^[1-9][0-9]{0,3}d$")
named = ("expires_at", "disabled")


class NewExpiry(Expiry):
    """The new expiry of many vouchers: a moment, null for never, or `{"add": "7d"}`."""

    def __init__(self) -> None:
        super().__init__(allow_none=True)
        days = {"type": "string", "pattern": form.pattern}
        added = {"type": "object", "properties": {"add": days}, "required": ["add"]}
        moment = {"type": "string", "format": "date-time", "pattern": self.metadata["pattern"]}
        never = {"type": "null"}
        self.metadata = {"oneOf": [moment, {**added, "additionalProperties": False}, never]}

    def _deserialize(  # type: ignore[override]
        self, value: object, *args: object, **more: object
    ) -> datetime | timedelta:
        if not isinstance(value, dict):
            return super()._deserialize(value, *args, **more)
        added = value.get("add")
        if not (value.keys() == {"add"} and isinstance(added, str) and form.fullmatch(added)):
            raise ValidationError('Must be a moment, null, or days to add, such as {"add": "7d"}.')
        return timedelta(days=int(added[:-1]))


class NewChange(Expiring):
    """Changes of many vouchers, and which vouchers; with a null expiry they never expire.

    `only` is `unused` (no use is taken) or `unclaimed` (unused, and of no customer). A `dry_run`
    only counts. To disable needs a reason.
    """

    expires_at = NewExpiry()
    disabled = Flag()
    chosen = fields.String(
        data_key="only", validate=validate.OneOf(tuple(terms.chosen)), load_default="all"
    )
    reason = Reason()
    dry_run = Flag(load_default=False)

    @validates_schema(skip_on_field_errors=True)
    def has_terms(self, data: dict[str, object], **_: object) -> None:
        """Refuse a change of nothing, and to disable without a reason."""
        if not data.keys() & set(named):
            raise ValidationError("Must be given, or disabled.", "expiry")
        if data.get("disabled") and "reason" not in data:
            raise ValidationError("Must say why the vouchers are disabled.", "reason")


class Change(Answer):
    """A change of many vouchers and its progress; `matched` is null until it begins.

    `skipped` vouchers had the terms already, or matched no longer when their turn came.
    """

    id = fields.Integer()
    offer_id = fields.Integer()
    batch_id = fields.Integer(allow_none=True)
    state = fields.String(validate=validate.OneOf(states))
    changes = fields.Dict(keys=fields.String(), attribute="terms")
    chosen = fields.String(data_key="only", validate=validate.OneOf(tuple(terms.chosen)))
    reason = fields.String(allow_none=True)
    dry_run = fields.Boolean()
    matched = fields.Integer(allow_none=True)
    changed = fields.Integer()
    skipped = fields.Integer()
    created_at = Timestamp()
    started_at = Timestamp(allow_none=True)
    finished_at = Timestamp(allow_none=True)
    error = fields.String(allow_none=True)


changes_page = page_of(Change, "Changes")
