"""The vouchers' requests and answers."""

from marshmallow import ValidationError, fields, pre_load

from voucherpool import errors
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.input import formats
from voucherpool.input.amounts import Amount, AmountShown, Currency, Percentage
from voucherpool.input.fields import (
    ClientRef,
    Count,
    Cursor,
    Digits,
    Email,
    Flag,
    Metadata,
    Name,
    OpenEnum,
    Text,
)
from voucherpool.input.schemas import Answer, PageRequest, Plain, Request, Sparse
from voucherpool.input.times import Expiry, MomentOrNever, Timestamp
from voucherpool.offers.schemas import discount_types
from voucherpool.vouchers import codes
from voucherpool.vouchers.errors import Refusal

most_redemptions = 1_000_000_000
longest_hold_seconds = 86400


class AnyCode(Text):
    """A code in any spelling."""

    longest = codes.longest_spelling


class CodeText(Text):
    """A text of which codes are made."""

    def stored(self, text: str) -> str:
        """Return the spelling in which it is kept."""
        return codes.spelling(text)


class VanityCode(CodeText):
    """A code that the issuer chose: 1 to 64 letters, digits and any of `_.%&@+`.

    Spaces and dashes do not count.
    """

    longest = codes.longest_spelling
    form = formats.issuable_code
    expected = "1 to 64 ASCII letters, digits or _.%&@+; spaces and dashes may stand between"


class Expiring(Request):
    """A request with a moment of expiry; `expires_at` is another name of `expiry`."""

    @pre_load
    def either_name(self, data: object, **_: object) -> object:
        """Read `expires_at` as `expiry`; a null beside it is absent."""
        if not isinstance(data, dict) or "expires_at" not in data:
            return data
        if "expiry" in data and None in (data["expiry"], data["expires_at"]):
            given = data["expiry"] or data["expires_at"]
            return {name: data[name] for name in data if name != "expires_at"} | {"expiry": given}
        if "expiry" in data:
            raise ValidationError("Must not be given beside expiry, its other name.", "expires_at")
        return {"expiry" if name == "expires_at" else name: data[name] for name in data}

    def handle_error(self, error: ValidationError, data: object, **_: object) -> None:
        """Name a wrong moment as the request does."""
        messages = error.messages_dict
        if "expiry" in messages and isinstance(data, dict) and "expires_at" in data:
            messages["expires_at"] = messages.pop("expiry")


class GenerateRequest(Expiring, Plain):
    """A voucher to issue; with a null e-mail it is unbound, with a null expiry it never expires.

    Without a discount the offer must exist and keeps its discount. With `notify` the customer gets
    an e-mail. With `create_customer` an unknown e-mail becomes a customer first.
    """

    email = Email(required=True, allow_none=True)
    offer_name = Name(required=True)
    discount = Percentage()
    expires_at = Expiry(required=True, allow_none=True)
    code = VanityCode()
    max_redemptions = Count(most=most_redemptions)
    freeze_discount = Flag()
    notify = Flag()
    create_customer = Flag()


class IssuedVoucher(Answer):
    """A voucher's code as it is shown to people."""

    code = fields.String(required=True)


class VoucherCode(Plain):
    """A voucher, in any spelling of its code."""

    code = AnyCode(required=True)


class OrderAmount(Amount):
    """What is left to pay of an order when its voucher is redeemed."""

    def __init__(self) -> None:
        super().__init__()
        described = (
            "What is left to pay when this voucher is redeemed, in major units: 19.99 `currency`."
            " For a second voucher of the order, send the amount without what the first took off."
        )
        self.metadata = {**self.metadata, "description": described}


class OrderRequest(VoucherCode):
    """A voucher for a customer's order.

    With `create_customer` an unknown e-mail becomes a customer, unless the request is refused.
    """

    email = Email(required=True)
    order_amount = OrderAmount()
    currency = Currency()
    create_customer = Flag()
    client_ref = ClientRef()


class RedeemRequest(OrderRequest):
    """A voucher to redeem; with an `order_ref` the order redeems it only once.

    `hold_id` is optional: the customer's open hold is used without it. `metadata` is kept with the
    redemption, and not compared when the order asks again.
    """

    order_ref = Name()
    hold_id = fields.UUID()
    metadata = Metadata()


class CheckRequest(RedeemRequest):
    """A redemption to try; without an e-mail, by a customer who is still unknown.

    With `create_customer` an unknown e-mail counts as such a customer; a check creates nobody.
    """

    email = Email(allow_none=True, load_default=None)


class HoldRequest(OrderRequest):
    """A voucher to reserve one use of."""

    ttl_seconds = Count(most=longest_hold_seconds, load_default=900)


class ReleaseRequest(Request):
    """A hold to end."""

    hold_id = fields.UUID(required=True)


reasons = (CustomerNotFound.code(), *errors.codes(Refusal))
"""The codes of all that can refuse a redemption."""


class Discount(Sparse):
    """A voucher's discount: a percentage, or an amount in a currency."""

    discount = AmountShown(required=True)
    discount_type = OpenEnum(*discount_types)
    currency = fields.String()
    discount_amount = AmountShown(metadata={"description": "The amount to take off the order."})


class RedemptionResult(Discount):
    """A redemption with the discount that it gave."""

    redemption_id = fields.UUID(required=True, attribute="id")
    redeemed_at = Timestamp(required=True)
    metadata = Metadata()


class CheckResult(Discount):
    """Whether a voucher can be redeemed now; `reason` is the code of the error if not.

    A voucher without `expires_at` never expires.
    """

    redeemable = fields.Boolean(required=True)
    reason = OpenEnum(*reasons)
    discount = AmountShown()
    offer_name = fields.String()
    expires_at = Timestamp()


class Hold(Answer):
    """A reserved use of a voucher."""

    hold_id = fields.UUID(required=True)
    held_until = Timestamp(required=True)


class ListRequest(PageRequest):
    """The customer whose vouchers to list, and the page."""

    email = Email(required=True)
    cursor = Cursor(MomentOrNever(), Digits())


class ListedVoucher(Discount):
    """A voucher that can be redeemed now."""

    code = fields.String(required=True)
    offer_name = fields.String(required=True)
    expires_at = Timestamp(required=True, allow_none=True)
