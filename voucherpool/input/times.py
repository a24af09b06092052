"""Types of fields for moments, days and time zones."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from typing import Unpack
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, fields

from voucherpool.input import formats
from voucherpool.input.fields import Options, Text

earliest, latest = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Moments are from the earliest on, and before the latest."""
_timezone = ContextVar("timezone", default="UTC")
"""The time zone of plain days, while days_of() lasts."""


@contextmanager
def days_of(timezone: str) -> Iterator[None]:
    """Read plain days as days of this time zone while the context lasts."""
    token = _timezone.set(timezone)
    try:
        yield
    finally:
        _timezone.reset(token)


class Timestamp(fields.DateTime):
    """A moment from 2000 to 2199 in RFC 3339 with an offset; answered in UTC."""

    form = formats.rfc3339
    expected = "a date and time with an offset, such as 2030-12-31T23:59:59+01:00"

    def __init__(self, data_key: str | None = None, **options: Unpack[Options]) -> None:
        metadata = {"pattern": self.form.pattern}
        super().__init__(data_key=data_key, metadata=metadata, **options)

    def _deserialize(self, value: object, *_: object, **__: object) -> datetime:
        if not (isinstance(value, str) and self.form.fullmatch(value)):
            raise ValidationError(f"Must be {self.expected}.")
        try:
            return within_range(self._moment(value))
        except (ValueError, OverflowError) as error:
            raise ValidationError("Must be a date and time that exist.") from error

    def _moment(self, text: str) -> datetime:
        return datetime.fromisoformat(text.upper())

    def _serialize(self, value: datetime | None, *_: object, **__: object) -> str | None:
        return None if value is None else rfc3339_utc(value)


class MomentOrNever(Timestamp):
    """A moment in a cursor; None is `never`."""

    def _deserialize(  # type: ignore[override]
        self, value: object, *args: object, **more: object
    ) -> datetime | None:
        return None if value == "never" else super()._deserialize(value, *args, **more)

    def _serialize(self, value: datetime | None, *args: object, **more: object) -> str:
        return super()._serialize(value, *args, **more) or "never"


class Moment(Timestamp):
    """A request's moment: with an offset, or a plain day in the shop's time zone."""

    form = formats.day_or_rfc3339
    expected = (
        "a day, such as 2030-12-31, or a date and time with an offset, such as"
        " 2030-12-31T23:59:59+01:00"
    )
    of_day = "The start of the day, if it is a plain day, such as 2030-12-31."

    def __init__(self, data_key: str | None = None, **options: Unpack[Options]) -> None:
        super().__init__(data_key, **options)
        self.metadata = {**self.metadata, "description": self.of_day}

    def _moment(self, text: str) -> datetime:
        if formats.day.fullmatch(text):
            return self.of(date.fromisoformat(text), _timezone.get())
        return super()._moment(text)

    @staticmethod
    def of(day: date, timezone: str) -> datetime:
        """Return the first moment of a day in a time zone."""
        return datetime.combine(day, time(), ZoneInfo(timezone))


class End(Moment):
    """A request's moment at which something ends: a plain day still belongs to it."""

    of_day = "The end of the day, if it is a plain day, such as 2030-12-31."

    @staticmethod
    def of(day: date, timezone: str) -> datetime:
        """Return the first moment after a day in a time zone."""
        return Moment.of(day + timedelta(days=1), timezone)


class Expiry(End):
    """A request's moment of expiry, named `expiry`."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__("expiry", **options)
        described = f"{self.of_day} `expires_at` is another name for it."
        self.metadata = {**self.metadata, "description": described}


class Period(Text):
    """Years, months, weeks and days in ISO 8601: P30D, P6M, P1Y."""

    form = formats.period
    expected = "years, months, weeks and days in ISO 8601, such as P30D or P6M"


class Day(fields.Date):
    """A day in the shop's time zone as RFC 3339 writes it: 2026-11-22."""

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


class ShopTimezone(Timezone):
    """A time zone of the IANA database; by default the one of days_of(), the shop's."""

    def __init__(self) -> None:
        super().__init__(load_default=_timezone.get)


def within_range(moment: datetime) -> datetime:
    """Return the moment in UTC, in which it is kept. Raises ValidationError if none is answered."""
    in_utc = moment.astimezone(UTC)
    if not earliest <= in_utc < latest:
        raise ValidationError(
            "Must be from 2000-01-01 to 2199-12-31T23:59:59Z; the last whole day is 2199-12-30."
        )
    return in_utc


def last_day(end: datetime, timezone: str) -> date:
    """Return the last day, in the time zone, of what lasts until before the `end`."""
    return (end - timedelta(microseconds=1)).astimezone(ZoneInfo(timezone)).date()


def rfc3339_utc(moment: datetime) -> str:
    """Return the moment in UTC, in the form of RFC 3339."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
