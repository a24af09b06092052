"""The files' requests and answers."""

from marshmallow import Schema, fields

from voucherpool.input.fields import Answer, Timestamp


class ImportRequest(Schema):
    """Defaults for the vouchers of a file."""

    expires_at = Timestamp(data_key="expiry")


class Imported(Answer):
    """The number of vouchers issued from a file."""

    imported = fields.Integer()
