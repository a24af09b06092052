"""The customers' requests and answers."""

from marshmallow import fields

from voucherpool.input import formats
from voucherpool.input.fields import Email, Name, Text
from voucherpool.input.schemas import Answer, PageRequest, Request, page_of
from voucherpool.input.times import Timestamp


class Language(Text):
    """A language of ISO 639-1, such as `de`."""

    longest = 2
    form = formats.language
    expected = "two lower-case letters of ISO 639-1, such as de"


class NewCustomer(Request):
    """A customer to create, or one in a seed file."""

    email = Email(required=True)
    name = Text(load_default=None, allow_none=True)
    language = Language(load_default=None, allow_none=True)


class CustomerChanges(Request):
    """Changes of a customer."""

    email = Email()
    name = Text(allow_none=True)
    language = Language(allow_none=True)


class Customer(Answer):
    """A person, known by e-mail."""

    id = fields.Integer()
    email = fields.String(
        allow_none=True,
        metadata={"description": "null only in a repeated answer about a customer who was erased."},
    )
    name = fields.String(allow_none=True)
    language = fields.String(allow_none=True)
    created_at = Timestamp()


class ListRequest(PageRequest):
    """The customers to list, and the page; `part` is a part of the e-mail or the name."""

    email = Email()
    part = Name()


customers_page = page_of(Customer, "Customers")
