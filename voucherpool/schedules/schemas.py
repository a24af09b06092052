"""The schedules' requests and answers."""

from datetime import timedelta
from typing import Any, Unpack

from marshmallow import ValidationError, fields, validate, validates_schema

from voucherpool.batches.schemas import Audience, all_customers, most_vouchers, pool
from voucherpool.input import formats
from voucherpool.input.amounts import Amount, AmountShown
from voucherpool.input.fields import Count, Cursor, Flag, Name, Options, StopsAtFirst, Text
from voucherpool.input.schemas import Answer, PageRequest, Request, page_of
from voucherpool.input.times import Moment, Timestamp, Timezone
from voucherpool.schedules import occurrences

most_emails = 1000
customers = "customers"
units = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


class Duration(StopsAtFirst[timedelta], fields.Field[timedelta]):
    """Days, hours or minutes: 7d, 12h, 90m; answered in the largest unit that leaves no rest.

    A day is 24 hours.
    """

    def __init__(self, *, most_days: int, **options: Unpack[Options]) -> None:
        too_long = f"Must be at most {most_days}d."
        limit = validate.Range(max=timedelta(days=most_days), error=too_long)
        metadata = {"type": "string", "pattern": formats.duration.pattern}
        super().__init__(validate=limit, metadata=metadata, **options)

    def _deserialize(self, value: object, *_: object, **__: object) -> timedelta:
        if not (isinstance(value, str) and formats.duration.fullmatch(value)):
            raise ValidationError("Must be days, hours or minutes, such as 7d, 12h or 90m.")
        return int(value[:-1]) * units[value[-1]]

    def _serialize(self, value: timedelta | None, *_: object, **__: object) -> str | None:
        if value is None:
            return None
        unit = next(unit for unit, length in units.items() if not value % length)
        return f"{value // units[unit]}{unit}"


class Cron(Text):
    """A cron expression of five fields: minute, hour, day of the month, month, day of the week."""

    form = formats.cron
    expected = "five fields of a cron expression, such as 0 9 * * 1"

    def check_meaning(self, text: str) -> None:
        """Raise ValidationError if the moment never comes, such as on 30 February."""
        if fault := occurrences.fault(text):
            raise ValidationError(fault)


class ShownAudience(fields.Field[str | list[str]]):
    """The audience as a schedule keeps it: a word, or the customers' e-mails of today."""

    def __init__(self, **options: Unpack[Options]) -> None:
        words = {"type": "string", "enum": [pool, all_customers]}
        people = {"type": "array", "items": {"type": "string"}}
        super().__init__(metadata={"oneOf": [words, people]}, **options)

    def _serialize(self, value: object, attr: str | None, obj: Any, **_: object) -> object:
        return obj.emails if value == customers else value


class ScheduleChanges(Request):
    """Changes of a schedule; a null discount means the offer's current one.

    A changed expression, time zone or pause counts from now.
    """

    name = Name()
    offer_name = Name()
    cron = Cron()
    timezone = Timezone()
    audience = Audience(most=most_emails)
    valid_for = Duration(most_days=3650)
    count = Count(most=most_vouchers)
    discount = Amount(above_zero=True, allow_none=True)
    notify = Flag()
    paused = Flag()
    catch_up = Duration(most_days=31)


class NewSchedule(ScheduleChanges):
    """A recurring issue of vouchers.

    Each occurrence of `cron` in `timezone` makes a batch: `count` vouchers for the pool or for each
    customer (default 1), which expire `valid_for` after the occurrence. A `discount` is frozen into
    them. With `notify` each voucher is an event, and its customer gets an e-mail. A missed
    occurrence is caught up if it is younger than `catch_up`.
    """

    name = Name(required=True)
    offer_name = Name(required=True)
    cron = Cron(required=True)
    timezone = Timezone(required=True)
    audience = Audience(most=most_emails, required=True)
    valid_for = Duration(most_days=3650, required=True)
    notify = Flag(load_default=False)
    paused = Flag(load_default=False)
    catch_up = Duration(most_days=31, load_default=timedelta(days=1))

    @validates_schema(skip_on_field_errors=True)
    def pool_needs_a_count(self, data: dict[str, object], **_: object) -> None:
        """Refuse a schedule for the pool without a count."""
        if data["audience"] == pool and "count" not in data:
            raise ValidationError("The pool needs a count.", "count")


class Schedule(Answer):
    """A recurring issue; `next_at` is null while it is paused."""

    id = fields.Integer()
    name = fields.String()
    offer_name = fields.String()
    cron = fields.String()
    timezone = fields.String()
    audience = ShownAudience()
    valid_for = Duration(most_days=3650)
    count = fields.Integer()
    discount = AmountShown(allow_none=True)
    notify = fields.Boolean()
    paused = fields.Boolean()
    catch_up = Duration(most_days=31)
    next_at = Timestamp(allow_none=True)
    created_at = Timestamp()
    updated_at = Timestamp()


class ScheduleRun(Answer):
    """The result of an occurrence; `error` says why there is no batch."""

    occurrence = Timestamp()
    state = fields.String(validate=validate.OneOf(("done", "skipped", "failed")))
    batch_id = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    created_at = Timestamp()


class RunsRequest(PageRequest):
    """The page of a schedule's runs to return."""

    cursor = Cursor(Timestamp())


class SchedulePreviewRequest(Request):
    """An expression to try; `after` is now if it is left out."""

    cron = Cron(required=True)
    timezone = Timezone(required=True)
    after = Moment()


class SchedulePreview(Answer):
    """The next ten occurrences, in UTC."""

    occurrences = fields.List(Timestamp())


schedules_page = page_of(Schedule, "Schedules")
runs_page = page_of(ScheduleRun, "ScheduleRuns", Timestamp())
