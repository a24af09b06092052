"""A voucher's record as support sees it, and its changes."""

from marshmallow import ValidationError, fields, validate, validates_schema

from voucherpool.audit.schemas import Reason
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.input.amounts import AmountShown
from voucherpool.input.fields import Count, Cursor, Digits, Email, Flag, Id, Name, OpenEnum
from voucherpool.input.schemas import Answer, PageRequest, Search, Span, page_of
from voucherpool.input.times import End, Expiry, Moment, MomentOrNever, Timestamp
from voucherpool.offers.schemas import discount_types
from voucherpool.redemptions.schemas import Redemption
from voucherpool.vouchers.errors import (
    CustomerLimitReached,
    OfferBudgetExhausted,
    OfferNotActive,
    RedemptionLimitReached,
    VoucherAlreadyRedeemed,
    VoucherDisabled,
    VoucherExpired,
    VoucherHeld,
    VoucherNotStarted,
)
from voucherpool.vouchers.schemas import AnyCode, Expiring, VoucherCode, most_redemptions, reasons

states = (
    "redeemable",
    *(
        error.code()
        for error in (
            *(CustomerNotFound, RedemptionLimitReached),
            *(VoucherAlreadyRedeemed, VoucherExpired, VoucherDisabled),
            *(VoucherNotStarted,),
            *(OfferNotActive, VoucherHeld, CustomerLimitReached),
            OfferBudgetExhausted,
        )
    ),
)
"""The states of a voucher; support.search knows why, by the rules in their order."""


class VoucherChange(Expiring):
    """Terms of a voucher to change; null removes the start or the expiry.

    Who changes a voucher that was used or is held, cannot give it to another customer.
    """

    code = AnyCode(required=True)
    starts_at = Moment(allow_none=True)
    expires_at = Expiry(allow_none=True)
    max_redemptions = Count(most=most_redemptions)
    email = Email()
    disabled = Flag()
    reason = Reason()

    @validates_schema(skip_on_field_errors=True)
    def has_terms(self, data: dict[str, object], **_: object) -> None:
        """Refuse a change of nothing."""
        if not data.keys() - {"code", "reason"}:
            raise ValidationError("Must be given, or another term to change.", "expiry")


only_support_sees = ("too_many_holds", "bound_to_another_customer")


class VoucherHold(Answer):
    """An open hold of a voucher."""

    hold_id = fields.String()
    email = fields.String()
    held_until = Timestamp()


class RefusedAttempt(Answer):
    """A refused check, hold or redemption (`action`) and its reason."""

    action = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    email = fields.String(allow_none=True)
    reason = OpenEnum(*reasons, *only_support_sees)
    attempted_at = Timestamp()


class VoucherSearch(Span, Search):
    """The vouchers to find: they meet all criteria, and expire from a moment on and before another.

    `code_part` is a part of a code that was chosen; generated codes are not searched. `state` is
    `redeemable`, or the code of the error that the customer would get. Batches are found in the
    order of issue, others in that of their expiry.
    """

    span = ("expires_from", "expires_to")
    email = Email()
    offer_id = Id()
    offer_name = Name()
    batch_id = Id()
    state = fields.String(validate=validate.OneOf(states))
    code_part = AnyCode()
    expires_from = Moment()
    expires_to = End()
    cursor = Cursor(MomentOrNever(), Digits())


class CustomersVouchersRequest(PageRequest):
    """The page of a customer's vouchers."""

    cursor = Cursor(MomentOrNever(), Digits())


class FoundVoucher(Answer):
    """A voucher and its state: `redeemable`, or the code of the error that its customer would get.

    The state of an unbound voucher is that for somebody who is no customer yet.
    """

    code = fields.String()
    state = OpenEnum(*states)
    email = fields.String(allow_none=True)
    offer_name = fields.String()
    batch_id = fields.Integer(allow_none=True)
    discount = AmountShown()
    discount_type = OpenEnum(*discount_types)
    currency = fields.String(allow_none=True)
    expires_at = Timestamp(allow_none=True)
    max_redemptions = fields.Integer()
    redemption_count = fields.Integer()
    used_at = Timestamp(allow_none=True)
    disabled_at = Timestamp(allow_none=True)
    created_at = Timestamp()
    claimed_at = Timestamp(allow_none=True)
    archived_at = Timestamp(allow_none=True)


class SwitchRequest(VoucherCode):
    """A voucher to disable or to enable, and why."""

    reason = Reason()


class LookupRequest(VoucherCode):
    """A voucher to look up; `cursor` continues after the redemptions of an earlier answer."""

    cursor = Cursor(Timestamp(), fields.UUID())


class RecordedChange(Answer):
    """What somebody did to a voucher, as the audit log says."""

    action = fields.String()
    api_key = fields.String(allow_none=True)
    actor = fields.String(allow_none=True)
    before = fields.Dict(allow_none=True)
    after = fields.Dict(allow_none=True)
    reason = fields.String(allow_none=True)
    created_at = Timestamp()


class VoucherRecord(Answer):
    """A voucher's whole record; `next_redemptions` is the cursor of its earlier redemptions."""

    code = fields.String()
    email = fields.String(allow_none=True)
    offer_name = fields.String()
    discount = AmountShown()
    discount_type = OpenEnum(*discount_types)
    currency = fields.String(allow_none=True)
    frozen = fields.Boolean()
    starts_at = Timestamp(allow_none=True)
    expires_at = Timestamp(allow_none=True)
    max_redemptions = fields.Integer()
    redemption_count = fields.Integer()
    used_at = Timestamp(allow_none=True)
    disabled_at = Timestamp(allow_none=True)
    created_at = Timestamp()
    claimed_at = Timestamp(allow_none=True)
    batch_id = fields.Integer(allow_none=True)
    claim_ref = fields.String(allow_none=True)
    archived_at = Timestamp(allow_none=True)
    holds = fields.List(fields.Nested(VoucherHold))
    redemptions = fields.List(fields.Nested(Redemption))
    next_redemptions = Cursor(Timestamp(), fields.UUID(), allow_none=True)
    changes = fields.List(fields.Nested(RecordedChange))
    refused_attempts = fields.List(fields.Nested(RefusedAttempt))


found_page = page_of(FoundVoucher, "FoundVouchers", MomentOrNever(), Digits())
