"""Types of fields for moments, days and time zones."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Unpack
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, fields

from voucherpool.input import formats
from voucherpool.input.fields import Options, Text


class Timestamp(fields.DateTime):
    """A moment from 2000 to 2199 in RFC 3339 with an offset; answered in UTC."""

    def __init__(self, data_key: str | None = None, **options: Unpack[Options]) -> None:
        metadata = {"pattern": formats.rfc3339.pattern}
        super().__init__(data_key=data_key, metadata=metadata, **options)

    def _deserialize(self, value: object, *_: object, **__: object) -> datetime:
        if not (isinstance(value, str) and formats.rfc3339.fullmatch(value)):
            raise ValidationError(
                "Must be a date and time from 2000 to 2199 with an offset, "
                "such as 2030-12-31T23:59:59+01:00."
            )
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except ValueError as error:
            raise ValidationError("Must be a date and time that exist.") from error

    def _serialize(self, value: datetime | None, *_: object, **__: object) -> str | None:
        return None if value is None else rfc3339_utc(value)


class Expiry(Timestamp):
    """A request's moment of expiry, named `expiry`."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__("expiry", **options)
        described = "`expires_at` is another name for it."
        self.metadata = {**self.metadata, "description": described}


class Day(fields.Date):
    """A day in UTC as RFC 3339 writes it: 2026-11-22."""

    def __init__(self, data_key: str | None = None) -> None:
        super().__init__(data_key=data_key, metadata={"pattern": formats.day.pattern})

    def _deserialize(
        self, value: object, attr: str | None, data: Mapping[str, object] | None, **more: object
    ) -> date:
        if not (isinstance(value, str) and formats.day.fullmatch(value)):
            raise ValidationError("Must be a day from 2000 to 2199, such as 2026-11-22.")
        return super()._deserialize(value, attr, data, **more)


@cache
def timezones() -> frozenset[str]:
    """Return the names of the IANA time zones."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


class Timezone(Text):
    """A time zone of the IANA database."""

    longest = 64
    form = re.compile("^[0-9A-Za-z_+/-]+$")
    expected = "the name of a time zone"

    def check_meaning(self, text: str) -> None:
        """Raise ValidationError unless the IANA database has the time zone."""
        if text not in timezones():
            raise ValidationError("Must be a time zone of IANA, such as Europe/Berlin.")


def end_of_day(day: date, timezone: str) -> datetime:
    """Return the first moment after a day in a time zone."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(timezone))


def rfc3339_utc(moment: datetime) -> str:
    """Return the moment in UTC, in the form of RFC 3339."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
