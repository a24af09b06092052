"""The errors of redemptions."""

from voucherpool.errors import NotFound


class RedemptionNotFound(NotFound):
    detail = "No redemption has this id or order_ref."
