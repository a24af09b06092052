"""The requests and answers about webhooks."""

from collections.abc import Mapping
from typing import Unpack

from marshmallow import fields, validate

from voucherpool.events.event_types import all_types
from voucherpool.input import formats
from voucherpool.input.fields import Count, Digits, Flag, Options, Text
from voucherpool.input.schemas import Answer, PageRequest, Request, page_of
from voucherpool.input.times import Moment, Timestamp

states = ("waiting", "delivered", "parked", "cancelled")
day = 24 * 60 * 60


class Url(Text):
    """The address of an endpoint."""

    longest = 2000
    form = formats.http_url
    expected = "an http or https address without a user and without #, in ASCII"


class EventTypes(fields.List[str]):
    """The types of events that a webhook gets; a type that is named twice counts once."""

    def __init__(self, **options: Unpack[Options]) -> None:
        item = fields.String(validate=validate.OneOf(all_types))
        super().__init__(item, validate=validate.Length(min=1), **options)

    def _deserialize(
        self, value: object, attr: str | None, data: Mapping[str, object] | None, **more: object
    ) -> list[str | None]:
        return list(dict.fromkeys(super()._deserialize(value, attr, data, **more)))


class NewWebhook(Request):
    """A webhook to create."""

    url = Url(required=True)
    event_types = EventTypes(required=True)


class WebhookChanges(Request):
    """Changes of a webhook."""

    url = Url()
    event_types = EventTypes()
    disabled = Flag()


class Webhook(Answer):
    """An endpoint and the types of events that it gets.

    It gets every event of what begins after the answer with `active_from`, and none from before
    `active_from`. All deliveries have failed since `failing_since`.
    """

    id = fields.Integer()
    url = fields.String()
    event_types = fields.List(fields.String(validate=validate.OneOf(all_types)))
    active_from = Timestamp()
    created_at = Timestamp()
    updated_at = Timestamp()
    failing_since = Timestamp(allow_none=True)
    disabled_at = Timestamp(allow_none=True)
    disabled_reason = fields.String(allow_none=True)


class WebhookWithSecret(Webhook):
    """A webhook with its new secret."""

    secret = fields.String(
        allow_none=True,
        metadata={"description": "Shown once; null in a repeated answer, which does not keep it."},
    )


class SecretRotation(Request):
    """How long the previous secret signs too."""

    previous_valid_for_seconds = Count(least=0, most=30 * day, load_default=day)


class Replay(Request):
    """The moment from which on events are queued again."""

    since = Moment(required=True)


class ReplayResult(Answer):
    """How many events will be sent again, without those that wait already.

    It is an estimate if more than 10 000 events happened since then.
    """

    queued = fields.Integer()


class DeliveriesRequest(PageRequest):
    """The deliveries to list, and the page."""

    state = fields.String(validate=validate.OneOf(states))


class Delivery(Answer):
    """An event on its way to a webhook, with its last attempt.

    `status` is that of the answer, `error` says in a short word what went wrong.
    """

    number = fields.Integer()
    event_id = fields.UUID(allow_none=True)
    type = fields.String(allow_none=True)
    state = fields.String(validate=validate.OneOf(states))
    attempts = fields.Integer()
    due_at = Timestamp()
    attempted_at = Timestamp(allow_none=True)
    status = fields.Integer(allow_none=True)
    error = fields.String(allow_none=True)
    finished_at = Timestamp(allow_none=True)


webhooks_page = page_of(Webhook, "Webhooks")
deliveries_page = page_of(Delivery, "Deliveries", Digits())
