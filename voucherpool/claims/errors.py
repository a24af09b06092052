"""The errors of claims."""

from voucherpool.errors import Conflict


class PoolEmpty(Conflict):
    detail = "No voucher of this offer is left to claim."


class ClaimLimitReached(Conflict):
    detail = "This customer has reached the offer's limit of claims per customer."


class ClaimMismatch(Conflict):
    detail = "This claim_ref has already claimed a voucher of the offer for another customer."
