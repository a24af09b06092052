"""The claims' route."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flask import current_app

from voucherpool.apikeys.errors import TooManyFailedAttempts
from voucherpool.claims import schemas, service
from voucherpool.claims.errors import ClaimLimitReached, ClaimMismatch, PoolEmpty
from voucherpool.customers import guests
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.customers.visitors import visitor
from voucherpool.database.errors import OutcomeUnknown
from voucherpool.database.transactions import transaction
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.offers.errors import OfferNotFound
from voucherpool.vouchers.errors import (
    CustomerLimitReached,
    OfferBudgetExhausted,
    OfferNotActive,
    VoucherNotFound,
)

blueprint = Blueprint(
    "claims",
    __name__,
    url_prefix="/vouchers",
    description="Vouchers from an offer's pool.",
)


@contextmanager
def counted(fields: Fields) -> Iterator[Fields]:
    """Admit the visitor, and count an unknown offer as a failed attempt.

    A visitor may type an offer's name as they type a code.
    """
    asking = visitor(fields)
    asking.admit()
    try:
        yield fields
    except OfferNotFound:
        # The answer is the same if the count is lost.
        with suppress(OutcomeUnknown), transaction():
            asking.count_failure()
        raise


@contextmanager
def attempt(fields: Fields) -> Iterator[Fields]:
    """Count a failure; create an unknown customer if the request says so and the offer is right."""
    creates = fields.pop("create_customer", False)
    with counted(fields):
        try:
            yield fields
        except CustomerNotFound:
            if creates:
                service.check(fields["offer_name"])
                guests.create(fields["email"])
            raise


@blueprint.post(
    "/claim",
    scope="issue",
    body=schemas.ClaimRequest(),
    answer=(201, schemas.ClaimedVoucher()),
    refuses=(
        TooManyFailedAttempts,
        *(CustomerNotFound, OfferNotFound, VoucherNotFound),
        *(OfferNotActive, CustomerLimitReached, ClaimLimitReached, OfferBudgetExhausted),
        *(PoolEmpty, ClaimMismatch),
    ),
    writes=True,
    around=attempt,
)
def claim_voucher(body: Fields) -> service.Claimed:
    """Claim the voucher of an offer's pool that expires first, for a customer."""
    return service.claim(**body, timezone=current_app.config["TIMEZONE"])
