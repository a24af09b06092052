"""What claiming takes and answers."""

from marshmallow import Schema, fields

from voucherpool.input.fields import Answer, Email, Text, Timestamp


class ClaimRequest(Schema):
    """Who claims a voucher of which offer; the same `claim_ref` gets the same voucher for ever."""

    email = Email(required=True)
    offer_name = Text(required=True)
    claim_ref = Text()


class Claimed(Answer):
    """The voucher that was claimed, its code in the spelling to show to people."""

    code = fields.String()
    expires_at = Timestamp()
    offer_name = fields.String()
