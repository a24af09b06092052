"""What may be said of an offer."""

from marshmallow import Schema

from voucherpool.fields import Percentage, Text


class OfferSeed(Schema):
    """An offer in a seed file."""

    name = Text(longest=200, required=True)
    discount = Percentage(required=True)
