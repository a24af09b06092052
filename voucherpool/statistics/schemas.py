"""What the statistics take and answer."""

from marshmallow import Schema, fields

from voucherpool.input.fields import Amount, Answer, Day


class StatisticsRequest(Schema):
    """Which days of an offer to count, both limits included; without them the last 90 in UTC."""

    since = Day(data_key="from")
    until = Day(data_key="to")


class Counts(Answer):
    """How often it happened; a redemption that was given back is in redeemed and in reversed."""

    issued = fields.Integer()
    claimed = fields.Integer()
    redeemed = fields.Integer()
    reversed = fields.Integer()


class DayCounts(Counts):
    """What happened on one day in UTC."""

    day = Day()


class Sum(Answer):
    """A sum of money; without a currency, of an offer that names none."""

    currency = fields.String(allow_none=True)
    amount = Amount()


class Statistics(Counts):
    """What became of an offer's vouchers; days on which nothing happened are left out.

    `discounted` is what redemptions took off their orders, `given_back` what of it was reversed;
    orders whose amount is unknown add nothing to them.

    `expired` counts vouchers with a use left that are past their expiry, `open` those with a use
    left that are not, disabled ones included.
    """

    discounted = fields.List(fields.Nested(Sum))
    given_back = fields.List(fields.Nested(Sum))
    expired = fields.Integer()
    open = fields.Integer()
    days = fields.List(fields.Nested(DayCounts))
