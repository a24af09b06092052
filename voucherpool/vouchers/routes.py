"""The vouchers' routes."""

from collections.abc import Sequence

from flask import url_for

from voucherpool.apikeys.errors import TooManyFailedAttempts
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.offers.errors import OfferDiscountDiffers, OfferNotPercentage
from voucherpool.vouchers import issuing, listing, schemas
from voucherpool.vouchers.checkout import (
    attempts,
    checking,
    hold_sql,
    holding,
    redeem_sql,
    redeeming,
)
from voucherpool.vouchers.eligibility import rules
from voucherpool.vouchers.errors import (
    OrderMismatch,
    RedemptionReversed,
    Refusal,
    VoucherExists,
)

blueprint = Blueprint(
    "vouchers",
    __name__,
    url_prefix="/vouchers",
    description="Issue, check, hold, redeem and list vouchers.",
)

next_page = {
    "description": 'The next page (RFC 8288, rel="next"); absent on the last page.',
    "schema": {"type": "string", "pattern": '^<.+>; rel="next"$'},
}


@blueprint.post(
    "/generate",
    scope="issue",
    body=schemas.GenerateRequest(),
    answer=(201, schemas.IssuedVoucher()),
    refuses=(CustomerNotFound, OfferDiscountDiffers, OfferNotPercentage, VoucherExists),
    writes=True,
    one_statement=True,
    unless="code",
    around=attempts.to_issue,
)
def generate_voucher(body: Fields) -> dict[str, str]:
    """Issue a voucher.

    Creates the offer if its name is new, otherwise sets its discount, which applies to all its
    vouchers without a frozen discount.
    """
    return {"code": issuing.issue(**body)}


redemption: Fields = {
    "scope": "redeem",
    "body": schemas.RedeemRequest(),
    "answer": (201, schemas.RedemptionResult()),
    "refuses": (
        TooManyFailedAttempts,
        *rules.refusals,
        *rules.order_refusals,
        OrderMismatch,
        RedemptionReversed,
    ),
    "writes": True,
    "one_statement": True,
    "around": attempts.to_redeem,
}


@blueprint.post("/redeem", **redemption)
def redeem_voucher(body: Fields) -> redeem_sql.Redeemed:
    """Redeem one use of a voucher; a hold of the customer is used up."""
    return redeeming.redeem(**body)


@blueprint.post("/validate", **redemption, documented={"deprecated": True})
def validate_voucher(body: Fields) -> redeem_sql.Redeemed:
    """Use a voucher up: the earlier name of /vouchers/redeem, which stays.

    To test a voucher without using it, call /vouchers/check.
    """
    return redeeming.redeem(**body)


@blueprint.post(
    "/check",
    scope="read",
    body=schemas.CheckRequest(),
    answer=(200, schemas.CheckResult()),
    refuses=(TooManyFailedAttempts,),
)
def check_voucher(body: Fields) -> dict[str, object]:
    """Check whether a voucher can be redeemed now, without using it."""
    try:
        with attempts.recorded("check", body):
            asked = {name: body[name] for name in body if name not in ("hold_id", "metadata")}
            found = checking.check(**asked)
    except (CustomerNotFound, Refusal) as refusal:
        return {"redeemable": False, "reason": refusal.code()}
    return {"redeemable": True, **found._asdict()}


@blueprint.post(
    "/hold",
    scope="redeem",
    body=schemas.HoldRequest(),
    answer=(201, schemas.Hold()),
    refuses=(TooManyFailedAttempts, holding.TooManyHolds, *rules.refusals, *rules.order_refusals),
    writes=True,
    one_statement=True,
    around=attempts.to_hold,
)
def hold_voucher(body: Fields) -> hold_sql.Hold:
    """Reserve one use of a voucher, or extend the customer's open hold."""
    return holding.hold(**body)


@blueprint.post(
    "/release", scope="redeem", body=schemas.ReleaseRequest(), answer=(204, None), writes=True
)
def release_hold(body: Fields) -> None:
    """Release a hold; this succeeds even if the hold is over."""
    holding.release(**body)


@blueprint.get(
    "",
    scope="read",
    query=schemas.ListRequest(),
    answer=(200, schemas.ListedVoucher(many=True)),
    refuses=(CustomerNotFound,),
    headers={"Link": next_page},
)
def list_vouchers(query: Fields) -> tuple[Sequence[object], dict[str, str]]:
    """List the vouchers that a customer can redeem now, earliest expiry first."""
    page = listing.list_redeemable(query["email"], query["limit"], query.get("cursor"))
    return page.items, _link_to_next(query, page)


def _link_to_next(query: Fields, page: Page) -> dict[str, str]:
    """Return the Link header of the next page (RFC 8288), if there is one."""
    if page.next is None:
        return {}
    parameters = schemas.ListRequest().dump(query | {"cursor": page.next})
    return {"Link": f'<{url_for("vouchers.list_vouchers", **parameters)}>; rel="next"'}
