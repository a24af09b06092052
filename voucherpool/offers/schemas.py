"""The offers' requests and answers."""

from marshmallow import ValidationError, fields, validate

from voucherpool.input.amounts import Amount, AmountShown, Currency, Percentage
from voucherpool.input.fields import Count, Flag, Metadata, Name, OpenEnum
from voucherpool.input.schemas import Answer, PageRequest, Request, page_of
from voucherpool.input.times import End, Moment, Timestamp

discount_types = ("percentage", "fixed_amount")
most_reminder_days = 10


class ReminderDays(fields.List[int]):
    """How many days before their expiry customers are reminded of vouchers."""

    def __init__(self) -> None:
        super().__init__(
            Count(most=365),
            validate=(validate.Length(1, most_reminder_days), _require_different),
            allow_none=True,
            metadata={"uniqueItems": True},
        )


def _require_different(numbers: list[int]) -> None:
    if len(set(numbers)) < len(numbers):
        raise ValidationError("Must be different numbers.")


class OfferSeed(Request):
    """An offer in a seed file, and how many unbound vouchers a new one gets."""

    name = Name(required=True)
    discount = Percentage(required=True)
    pool = Count(most=1000)


class OfferChanges(Request):
    """Terms of an offer to change; null removes a limit.

    An offer without a currency can get one, which never changes again. With `currency_optional`,
    an order_amount may come without its currency. With `discount_locked`, generating a voucher
    does not change the discount.

    The offer's budget is `max_redemptions` of all its vouchers, and `max_discount_total`, the sum
    that they take off orders, in `currency`. What was redeemed before counts. Below what is used,
    it refuses every further redemption.
    """

    name = Name()
    discount = Amount(above_zero=True)
    discount_locked = Flag()
    currency = Currency()
    currency_optional = Flag()
    min_order_amount = Amount(above_zero=True, allow_none=True)
    max_discount_amount = Amount(above_zero=True, allow_none=True)
    starts_at = Moment(allow_none=True)
    ends_at = End(allow_none=True)
    max_redemptions_per_customer = Count(most=1_000_000_000, allow_none=True)
    max_redemptions = Count(most=1_000_000_000, allow_none=True)
    max_discount_total = Amount(above_zero=True, allow_none=True)
    max_claims_per_customer = Count(most=1_000_000_000, allow_none=True)
    pool_low_at = Count(most=1_000_000, allow_none=True)
    reminder_days = ReminderDays()
    metadata = Metadata(allow_none=True)


class NewOffer(OfferChanges):
    """An offer to create; its discount_type can never change.

    With `allow_similar_name` its name may look like another's.
    """

    name = Name(required=True)
    discount = Amount(above_zero=True, required=True)
    discount_type = fields.String(
        validate=validate.OneOf(discount_types), load_default="percentage"
    )
    currency = Currency(allow_none=True)
    allow_similar_name = Flag()


class Offer(Answer):
    """A special offer; `discount` is a percentage, or an amount in `currency`."""

    id = fields.Integer()
    name = fields.String()
    discount = AmountShown()
    discount_locked = fields.Boolean()
    discount_type = OpenEnum(*discount_types)
    currency = fields.String(allow_none=True)
    currency_optional = fields.Boolean()
    min_order_amount = AmountShown(allow_none=True)
    max_discount_amount = AmountShown(allow_none=True)
    starts_at = Timestamp(allow_none=True)
    ends_at = Timestamp(allow_none=True)
    max_redemptions_per_customer = fields.Integer(allow_none=True)
    max_redemptions = fields.Integer(allow_none=True)
    max_discount_total = AmountShown(allow_none=True)
    max_claims_per_customer = fields.Integer(allow_none=True)
    pool_low_at = fields.Integer(allow_none=True)
    reminder_days = fields.List(fields.Integer(), allow_none=True)
    metadata = Metadata(allow_none=True, attribute="metadata_")
    created_at = Timestamp()
    updated_at = Timestamp()


class ListRequest(PageRequest):
    """The offers to list, and the page; `part` is a part of the name."""

    part = Name()


offers_page = page_of(Offer, "Offers")
