"""The requests and answers about events."""

from marshmallow import fields, validate

from voucherpool.events.event_types import all_types
from voucherpool.input.fields import Digits, largest_page
from voucherpool.input.schemas import Answer, Query
from voucherpool.input.times import Timestamp


class EventsRequest(Query):
    """The events to return: those after a number."""

    after = Digits(validate=validate.Range(0, 10**18 - 1), load_default=0)
    limit = Digits(validate=validate.Range(1, largest_page), load_default=100)


class Event(Answer):
    """What happened; `data` is the state at that moment, with the customer's e-mail of today."""

    number = fields.Integer()
    id = fields.UUID()
    type = fields.String(validate=validate.OneOf(all_types))
    created_at = Timestamp()
    data = fields.Dict()


class Events(Answer):
    """Events in the order of their numbers; ask for those after `next` to continue."""

    items = fields.List(fields.Nested(Event))
    next = fields.Integer()
