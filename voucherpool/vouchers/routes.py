"""The vouchers' routes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import TypeVar

from flask import url_for

from voucherpool.customers.guests import with_guest
from voucherpool.customers.visitors import visitor
from voucherpool.database.paging import Page
from voucherpool.database.transactions import transaction
from voucherpool.errors import (
    CustomerNotFound,
    OfferDiscountDiffers,
    OfferNotPercentage,
    OrderMismatch,
    OutcomeUnknown,
    RedemptionReversed,
    TooManyFailedAttempts,
    VoucherExists,
    VoucherNotFound,
    VoucherPoolError,
)
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write, write_in_one_statement
from voucherpool.vouchers import (
    holding,
    issuing,
    listing,
    redeem_sql,
    redeeming,
    refusals,
    rules,
    schemas,
    state,
)

Result = TypeVar("Result")

blueprint = Blueprint(
    "vouchers",
    __name__,
    url_prefix="/vouchers",
    description="Issue, check, hold, redeem and list vouchers; look one up for support.",
)

next_page = {
    "description": 'The next page (RFC 8288, rel="next"); absent on the last page.',
    "schema": {"type": "string", "pattern": '^<.+>; rel="next"$'},
}

order_refusals: tuple[type[VoucherPoolError], ...] = (
    *rules.order_refusals,
    OrderMismatch,
    RedemptionReversed,
)


def watched(action: str) -> Callable[[Callable[[Fields], Result]], Callable[[Fields], Result]]:
    """Return a decorator that records each refusal for support, and counts failed attempts.

    Both happen in a new transaction after the refusal's. Visitors without attempts are refused.
    """

    def decorate(view: Callable[[Fields], Result]) -> Callable[[Fields], Result]:
        @wraps(view)
        def run(body: Fields) -> Result:
            this = (body["code"], body["email"], body.get("order_ref"))
            asking = visitor(body)
            asking.admit()
            try:
                return view(body)
            except (*rules.refusals, *order_refusals) as refusal:
                # The answer is the same if the record is lost.
                with suppress(OutcomeUnknown), transaction():
                    refusals.record(refusal, action, *this)
                    if isinstance(refusal, VoucherNotFound):
                        asking.count_failure()
                raise

        return run

    return decorate


def look_for_guest(body: Fields) -> None:
    """Raise what redeeming would refuse to a customer who is still unknown."""
    state.check(body["code"], None, **_order(body))


def look_for_guests_hold(body: Fields) -> None:
    """Raise what holding would refuse to a customer who is still unknown."""
    state.check(body["code"], None, **_order(body), of_order=bool(_order(body)))


def _order(body: Fields) -> Fields:
    return {name: body[name] for name in ("order_amount", "currency") if name in body}


@blueprint.post("/generate")
@blueprint.guarded(
    "issue", CustomerNotFound, OfferDiscountDiffers, OfferNotPercentage, VoucherExists
)
@blueprint.arguments(schemas.GenerateRequest())
@with_guest()
@write_in_one_statement(unless="code")
@blueprint.response(201, schemas.Code())
def generate_voucher(body: Fields) -> dict[str, str]:
    """Issue a voucher.

    Creates the offer if its name is new, otherwise sets its discount, which applies to all its
    vouchers without a frozen discount.
    """
    return {"code": issuing.issue(**body)}


@blueprint.post("/validate", endpoint="validate_voucher")
@blueprint.post("/redeem")
@blueprint.guarded("redeem", TooManyFailedAttempts, *rules.refusals, *order_refusals)
@blueprint.arguments(schemas.RedeemRequest())
@watched("redeem")
@with_guest(look_for_guest)
@write_in_one_statement()
@blueprint.response(201, schemas.Redeemed())
def redeem_voucher(body: Fields) -> redeem_sql.Redeemed:
    """Redeem one use of a voucher; a hold of the customer is used up.

    /vouchers/validate is another name of this route: it redeems too.
    """
    # The customer's open hold is found without its id.
    body.pop("hold_id", None)
    return redeeming.redeem(**body)


@blueprint.post("/check")
@blueprint.guarded("read", TooManyFailedAttempts)
@blueprint.arguments(schemas.CheckRequest())
@blueprint.response(200, schemas.Checked())
def check_voucher(body: Fields) -> dict[str, object]:
    """Check whether a voucher can be redeemed now, without using it."""
    try:
        return {"redeemable": True, **_check(body)._asdict()}
    except (*rules.refusals, *order_refusals) as refusal:
        return {"redeemable": False, "reason": refusal.code()}


@watched("check")
def _check(body: Fields) -> state.VoucherState:
    creates = body.get("create_customer", False)
    return state.check(body["code"], body["email"], **_order(body), create_customer=creates)


@blueprint.post("/hold")
@blueprint.guarded(
    "redeem", TooManyFailedAttempts, holding.TooManyHolds, *rules.refusals, *rules.order_refusals
)
@blueprint.arguments(schemas.HoldRequest())
@watched("hold")
@with_guest(look_for_guests_hold)
@write_in_one_statement()
@blueprint.response(201, schemas.Held())
def hold_voucher(body: Fields) -> holding.Hold:
    """Reserve one use of a voucher, or extend the customer's open hold."""
    return holding.hold(**body)


@blueprint.post("/release")
@blueprint.guarded("redeem")
@blueprint.arguments(schemas.ReleaseRequest())
@write
@blueprint.response(204)
def release_hold(body: Fields) -> None:
    """Release a hold; this succeeds even if the hold is over."""
    holding.release(**body)


@blueprint.get("")
@blueprint.guarded("read", CustomerNotFound)
@blueprint.arguments(schemas.ListRequest(), location="query")
@blueprint.response(200, schemas.ListedVoucher(many=True), headers={"Link": next_page})
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
