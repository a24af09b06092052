"""What may be said of a customer."""

from marshmallow import Schema

from voucherpool.fields import Email, Text


class CustomerSeed(Schema):
    """A customer in a seed file."""

    email = Email(required=True)
    name = Text(longest=200, load_default=None)
