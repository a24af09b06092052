"""A voucher's record, as support sees it."""

from marshmallow import fields

from voucherpool.audit.schemas import Reason
from voucherpool.input.fields import AmountShown
from voucherpool.input.schemas import Answer
from voucherpool.input.times import Timestamp
from voucherpool.redemptions.schemas import Redemption
from voucherpool.vouchers.schemas import CodeRequest


class VoucherHold(Answer):
    """An open hold of a voucher."""

    hold_id = fields.String()
    email = fields.String()
    held_until = Timestamp()


class Attempt(Answer):
    """A refused check, hold or redemption (`action`) and its reason."""

    action = fields.String(allow_none=True)
    order_ref = fields.String(allow_none=True)
    email = fields.String(allow_none=True)
    reason = fields.String()
    attempted_at = Timestamp()


class SwitchRequest(CodeRequest):
    """A voucher to disable or to enable, and why."""

    reason = Reason()


class VoucherRecord(Answer):
    """A voucher's whole record."""

    code = fields.String()
    email = fields.String(allow_none=True)
    offer_name = fields.String()
    discount = AmountShown()
    discount_type = fields.String()
    currency = fields.String(allow_none=True)
    frozen = fields.Boolean()
    expires_at = Timestamp()
    max_redemptions = fields.Integer()
    redemption_count = fields.Integer()
    used_at = Timestamp(allow_none=True)
    disabled_at = Timestamp(allow_none=True)
    created_at = Timestamp()
    claimed_at = Timestamp(allow_none=True)
    archived_at = Timestamp(allow_none=True)
    holds = fields.List(fields.Nested(VoucherHold))
    redemptions = fields.List(fields.Nested(Redemption))
    refused_attempts = fields.List(fields.Nested(Attempt))
