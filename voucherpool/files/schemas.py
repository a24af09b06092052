"""The files' requests and answers."""

from contextlib import nullcontext
from typing import Any

from marshmallow import fields

from voucherpool.input.schemas import Answer, Query
from voucherpool.input.times import Expiry, ShopTimezone, days_of, timezones
from voucherpool.vouchers.schemas import Expiring


class ImportRequest(Expiring, Query):
    """The expiry of vouchers whose line has none, and the time zone of days in the file."""

    expires_at = Expiry()
    timezone = ShopTimezone()

    def load(self, data: Any, **options: Any) -> Any:
        """Read a plain day of the expiry as a day of the request's own time zone."""
        timezone = data.get("timezone")
        with days_of(timezone) if timezone in timezones() else nullcontext():
            return super().load(data, **options)


class Imported(Answer):
    """The number of vouchers issued from a file."""

    imported = fields.Integer()


class FileExport(Query):
    """With `bom`, for Excel, the file begins with a byte order mark."""

    bom = fields.Boolean(truthy={"true"}, falsy={"false"}, load_default=False)
