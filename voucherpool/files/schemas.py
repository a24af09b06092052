"""What the files' routes take and answer."""

from marshmallow import Schema, fields

from voucherpool.input.fields import Answer, Timestamp


class ImportRequest(Schema):
    """What holds for the vouchers of a file that do not say otherwise."""

    expires_at = Timestamp(data_key="expiry")


class Imported(Answer):
    """How many vouchers a file held; all of them were issued."""

    imported = fields.Integer()
