"""The request and the answers of statistics."""

from marshmallow import fields

from voucherpool.input.amounts import AmountShown
from voucherpool.input.schemas import Answer, Query, Span
from voucherpool.input.times import Day


class StatisticsRequest(Span, Query):
    """The first and last day of the shop to show; by default the last 90 days."""

    since = Day(data_key="from")
    until = Day(data_key="to")


class Counts(Answer):
    """Counts of events; a redemption that was given back counts as redeemed and as reversed."""

    issued = fields.Integer()
    claimed = fields.Integer()
    redeemed = fields.Integer()
    reversed = fields.Integer()


class Money(Answer):
    """A sum of money; its currency is null if the offer has none."""

    currency = fields.String(allow_none=True)
    amount = AmountShown()


class Totals(Counts):
    """Counts of events, and sums of money by currency; orders of unknown amount count as 0.

    `discounted` is what redemptions took off orders, `turnover` the sum of these orders' amounts
    before the discount. `given_back` and `turnover_given_back` are what was reversed of them.
    """

    discounted = fields.List(fields.Nested(Money))
    given_back = fields.List(fields.Nested(Money))
    turnover = fields.List(fields.Nested(Money))
    turnover_given_back = fields.List(fields.Nested(Money))


class DayTotals(Totals):
    """The events of one day in the shop's time zone."""

    day = Day()


class OfferTotals(Totals):
    """The events of one offer in the period."""

    offer_id = fields.Integer()
    offer_name = fields.String()


class Budget(Answer):
    """What is used of an offer's budget, and what is left of it beside open holds.

    What is left is null where the budget has no limit of that kind.
    """

    redemption_count = fields.Integer()
    discount_total = AmountShown()
    remaining_redemptions = fields.Integer(allow_none=True)
    remaining_discount_total = AmountShown(allow_none=True)


class Statistics(Totals):
    """Statistics of an offer since it exists; days without events are omitted.

    `expired` and `open` count vouchers with a use left: past their expiry, and not yet past it,
    including disabled ones. `budget` is null without a budget, and for seconds after it was set.
    """

    expired = fields.Integer()
    open = fields.Integer()
    budget = fields.Nested(Budget, allow_none=True)
    days = fields.List(fields.Nested(DayTotals))


class AllStatistics(Totals):
    """Statistics of all offers in a period; offers and days without events are omitted."""

    offers = fields.List(fields.Nested(OfferTotals))
    days = fields.List(fields.Nested(DayTotals))
