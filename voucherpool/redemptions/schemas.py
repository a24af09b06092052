"""The redemptions' requests and answers."""

from marshmallow import Schema, fields

from voucherpool.input.fields import Cursor, Email, Text
from voucherpool.input.schemas import Answer, PageRequest, page_of
from voucherpool.input.times import Timestamp
from voucherpool.vouchers.schemas import Redemption


class Nothing(Schema):
    """An empty body."""


class RedemptionsRequest(PageRequest):
    """The redemptions to list, and the page."""

    email = Email()
    order_ref = Text()
    cursor = Cursor(Timestamp(), fields.UUID())


class OrderRequest(Schema):
    """An order whose redemptions to give back."""

    order_ref = Text(required=True)


class OrderRedemptions(Answer):
    """All redemptions of an order."""

    items = fields.List(fields.Nested(Redemption))


redemptions_page = page_of(Redemption, "Redemptions", Timestamp(), fields.UUID())
