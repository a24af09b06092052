"""The request and the answer of statistics."""

from datetime import date

from marshmallow import ValidationError, fields, validates_schema

from voucherpool.input.fields import AmountShown
from voucherpool.input.schemas import Answer, Query
from voucherpool.input.times import Day


class StatisticsRequest(Query):
    """The first and last day in UTC to show; by default the last 90 days."""

    since = Day(data_key="from")
    until = Day(data_key="to")

    @validates_schema(skip_on_field_errors=True)
    def first_day_comes_first(self, data: dict[str, date], **_: object) -> None:
        """Refuse a last day before the first one."""
        if "since" in data and "until" in data and data["since"] > data["until"]:
            raise ValidationError("Must not be before from.", "to")


class Counts(Answer):
    """Counts of events; a redemption that was given back counts as redeemed and as reversed."""

    issued = fields.Integer()
    claimed = fields.Integer()
    redeemed = fields.Integer()
    reversed = fields.Integer()


class DayCounts(Counts):
    """The events of one day in UTC."""

    day = Day()


class Sum(Answer):
    """A sum of money; its currency is null if the offer has none."""

    currency = fields.String(allow_none=True)
    amount = AmountShown()


class Statistics(Counts):
    """Statistics of an offer; days without events are omitted.

    `discounted` is the sum that redemptions took off orders, `given_back` the part of it that was
    reversed; orders of unknown amount count as 0.

    `expired` and `open` count vouchers with a use left: past their expiry, and not yet past it,
    including disabled ones.
    """

    discounted = fields.List(fields.Nested(Sum))
    given_back = fields.List(fields.Nested(Sum))
    expired = fields.Integer()
    open = fields.Integer()
    days = fields.List(fields.Nested(DayCounts))
