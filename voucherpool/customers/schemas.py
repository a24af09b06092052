"""The customers' requests and answers."""

from marshmallow import Schema, fields

from voucherpool.input.fields import Answer, Cursor, Email, Number, PageSize, Text, Timestamp


class NewCustomer(Schema):
    """A customer to create, or one in a seed file."""

    email = Email(required=True)
    name = Text(longest=200, load_default=None, allow_none=True)


class CustomerChanges(Schema):
    """Changes of a customer."""

    email = Email()
    name = Text(longest=200, allow_none=True)


class Customer(Answer):
    """A person, known by e-mail."""

    id = fields.Integer()
    email = fields.String(
        allow_none=True,
        metadata={"description": "null only in a repeated answer about a customer who was erased."},
    )
    name = fields.String(allow_none=True)
    created_at = Timestamp()


class ListRequest(Schema):
    """The customers to list, and the page."""

    email = Email()
    limit = PageSize(load_default=100)
    cursor = Cursor(Number())


class Customers(Answer):
    """A page of customers."""

    items = fields.List(fields.Nested(Customer))
    next = Cursor(Number(), allow_none=True)
