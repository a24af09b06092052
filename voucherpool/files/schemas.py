"""The files' requests and answers."""

from contextlib import nullcontext
from typing import Any

from marshmallow import fields, validate

from voucherpool.files.encodings import encodings
from voucherpool.input.schemas import Answer, Query
from voucherpool.input.times import Expiry, ShopTimezone, days_of, timezones
from voucherpool.vouchers.schemas import Expiring


class ImportRequest(Expiring, Query):
    """How to read a file: its encoding, the time zone of its days, the expiry of lines without one.

    A byte order mark tells UTF-16 from UTF-8. Plain CSV of a Western European Excel is
    `windows-1252`.
    With `on_conflict=skip` the vouchers that exist are left as they are, and the others issued.
    With `create_customers=true` unknown e-mails become customers.
    """

    expires_at = Expiry()
    timezone = ShopTimezone()
    encoding = fields.String(validate=validate.OneOf(encodings), load_default="utf-8")
    on_conflict = fields.String(validate=validate.OneOf(("refuse", "skip")), load_default="refuse")
    create_customers = fields.Boolean(truthy={"true"}, falsy={"false"}, load_default=False)

    def load(self, data: Any, **options: Any) -> Any:
        """Read a plain day of the expiry as a day of the request's own time zone."""
        timezone = data.get("timezone")
        with days_of(timezone) if timezone in timezones() else nullcontext():
            return super().load(data, **options)


class ImportResult(Answer):
    """The outcome of a file; `skipped_lines` are the first 100 lines that were skipped."""

    imported = fields.Integer()
    skipped = fields.Integer()
    skipped_lines = fields.List(fields.Integer())
    customers_created = fields.Integer()
