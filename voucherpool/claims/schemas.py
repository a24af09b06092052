"""The request and the answer of claiming."""

from marshmallow import fields

from voucherpool.input.fields import ClientRef, Email, Flag, Name
from voucherpool.input.schemas import Answer, Request
from voucherpool.input.times import Timestamp


class ClaimRequest(Request):
    """The customer and the offer; a repeat with the same `claim_ref` gets the same voucher.

    With `create_customer` an unknown e-mail becomes a customer, unless the claim is refused.
    """

    email = Email(required=True)
    offer_name = Name(required=True)
    claim_ref = Name()
    create_customer = Flag()
    client_ref = ClientRef()


class ClaimedVoucher(Answer):
    """The claimed voucher, with its code as it is shown to people."""

    code = fields.String()
    expires_at = Timestamp(allow_none=True)
    offer_name = fields.String()
