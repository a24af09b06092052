"""The answers about opt-outs."""

from voucherpool.input.schemas import Answer
from voucherpool.input.times import Timestamp


class OptOut(Answer):
    """Whether a customer wants no e-mails: since when, or null."""

    opted_out_at = Timestamp(allow_none=True)
