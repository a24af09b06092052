"""What a webhook gets: the body of the request for each type of event."""

from marshmallow import Schema, fields, validate

from voucherpool.events import event_types
from voucherpool.input.amounts import AmountShown
from voucherpool.input.fields import Field, Metadata, OpenEnum
from voucherpool.input.schemas import Answer
from voucherpool.input.times import Timestamp
from voucherpool.offers.schemas import discount_types


class EventVoucher(Answer):
    """A voucher at the moment of the event."""

    code = fields.String()
    customer_id = fields.Integer(allow_none=True)
    offer_id = fields.Integer()
    offer_name = fields.String()
    discount = AmountShown()
    discount_type = OpenEnum(*discount_types)
    currency = fields.String(allow_none=True)
    expires_at = Timestamp(allow_none=True)
    max_redemptions = fields.Integer()
    redemption_count = fields.Integer()
    disabled_at = Timestamp(allow_none=True)
    batch_id = fields.Integer(allow_none=True)


class EventRedemption(Answer):
    """A redemption at the moment of the event."""

    id = fields.UUID()
    customer_id = fields.Integer()
    order_ref = fields.String(allow_none=True)
    order_amount = AmountShown(allow_none=True)
    currency = fields.String(allow_none=True)
    discount = AmountShown()
    discount_amount = AmountShown(allow_none=True)
    redeemed_at = Timestamp()
    reversed_at = Timestamp(allow_none=True)
    metadata = Metadata(allow_none=True)


class EventBatch(Answer):
    """A batch that ended."""

    id = fields.Integer()
    offer_id = fields.Integer()
    requested = fields.Integer()
    state = OpenEnum("done", "failed", "cancelled")
    metadata = Metadata(allow_none=True)


class EventOffer(Answer):
    """An offer whose pool holds fewer than `pool_low_at` vouchers."""

    id = fields.Integer()
    name = fields.String()
    pool_low_at = fields.Integer()
    metadata = Metadata(allow_none=True)


class EventBudget(Answer):
    """An offer's budget, and what is used of it."""

    id = fields.Integer()
    name = fields.String()
    currency = fields.String(allow_none=True)
    max_redemptions = fields.Integer(allow_none=True)
    redemption_count = fields.Integer()
    max_discount_total = AmountShown(allow_none=True)
    discount_total = AmountShown()
    metadata = Metadata(allow_none=True)


class EventWebhook(Answer):
    """A webhook that the service disabled, and why."""

    id = fields.Integer()
    reason = OpenEnum("failing", "gone")


email = fields.String(
    allow_none=True,
    metadata={"description": "The customer's e-mail of today; null without a customer."},
)


def _payload(type_: str, **data: Field) -> Schema:
    """Return the schema of a type's requests, named like `VoucherRedeemedEvent`."""
    name = "".join(map(str.title, type_.replace("_", ".").split("."))) + "Event"
    contents = Answer.from_dict({**data, "email": email}, name=f"{name}Data")
    envelope: dict[str, Field] = {
        "type": fields.String(validate=validate.Equal(type_)),
        "timestamp": Timestamp(),
        "number": fields.Integer(),
        "data": fields.Nested(contents),
    }
    return Answer.from_dict(envelope, name=name)()


_voucher, _redemption = fields.Nested(EventVoucher), fields.Nested(EventRedemption)
_budget = {"offer": fields.Nested(EventBudget), "percent": fields.Integer()}
_of_type: dict[str, dict[str, Field]] = {
    event_types.redeemed: {"voucher": _voucher, "redemption": _redemption},
    event_types.expiring: {"voucher": _voucher, "days_before": fields.Integer()},
    event_types.reversed_: {"voucher": _voucher, "redemption": _redemption},
    event_types.batch_finished: {"batch": fields.Nested(EventBatch)},
    event_types.pool_low: {"offer": fields.Nested(EventOffer)},
    event_types.budget_low: _budget,
    event_types.budget_exhausted: _budget,
    event_types.webhook_disabled: {"webhook": fields.Nested(EventWebhook)},
}
"""All other types show the voucher alone."""

payloads = {
    type_: _payload(type_, **_of_type.get(type_, {"voucher": _voucher}))
    for type_ in event_types.all_types
}
"""By the type of the event."""
