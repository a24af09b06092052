"""The redemptions' requests and answers."""

from marshmallow import Schema, fields

from voucherpool.input.fields import Answer, Cursor, Email, PageSize, Text, Timestamp
from voucherpool.vouchers.schemas import Redemption


class Nothing(Schema):
    """An empty body."""


class RedemptionsRequest(Schema):
    """The redemptions to list, and the page."""

    email = Email()
    order_ref = Text(longest=200)
    limit = PageSize(load_default=100)
    cursor = Cursor(Timestamp(), fields.UUID())


class OrderRequest(Schema):
    """An order whose redemptions to give back."""

    order_ref = Text(longest=200, required=True)


class OrderRedemptions(Answer):
    """All redemptions of an order."""

    items = fields.List(fields.Nested(Redemption))


class Redemptions(OrderRedemptions):
    """A page of redemptions."""

    next = Cursor(Timestamp(), fields.UUID(), allow_none=True)
