"""The files' requests and answers."""

from marshmallow import fields

from voucherpool.input.schemas import Answer
from voucherpool.input.times import Expiry, Timezone
from voucherpool.vouchers.schemas import Expiring


class ImportRequest(Expiring):
    """The expiry of vouchers whose line has none, and the time zone of days in the file."""

    expires_at = Expiry()
    timezone = Timezone(load_default="UTC")


class Imported(Answer):
    """The number of vouchers issued from a file."""

    imported = fields.Integer()
