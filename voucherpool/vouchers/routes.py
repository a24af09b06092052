"""The vouchers' routes."""

from typing import Any

from flask import url_for

from voucherpool.db import transaction
from voucherpool.errors import (
    CustomerNotFound,
    RedemptionLimitReached,
    VoucherAlreadyRedeemed,
    VoucherExpired,
    VoucherNotFound,
)
from voucherpool.vouchers import issuing, listing, redemption, schemas
from voucherpool.web.openapi import Blueprint

blueprint = Blueprint("vouchers", __name__, url_prefix="/vouchers")


@blueprint.post("/generate")
@blueprint.guarded("issue", CustomerNotFound)
@blueprint.arguments(schemas.GenerateRequest())
@transaction()
@blueprint.response(201, schemas.Code())
def generate(body: dict[str, Any]) -> dict[str, str]:
    """Issue a voucher.

    Makes the offer if its name is new, otherwise gives it the discount, which then holds for
    all vouchers of the offer.
    """
    return {"code": issuing.issue(**body)}


@blueprint.post("/validate")
@blueprint.guarded(
    "redeem",
    CustomerNotFound,
    VoucherNotFound,
    VoucherAlreadyRedeemed,
    RedemptionLimitReached,
    VoucherExpired,
)
@blueprint.arguments(schemas.RedeemRequest())
@transaction()
@blueprint.response(201, schemas.Redemption())
def validate(body: dict[str, Any]) -> Any:
    """Redeem a voucher: take one use of it."""
    return redemption.redeem(**body)


@blueprint.get("")
@blueprint.guarded("read", CustomerNotFound)
@blueprint.arguments(schemas.ListRequest(), location="query")
@blueprint.response(200, schemas.ListedVoucher(many=True))
def list_vouchers(query: dict[str, Any]) -> Any:
    """List the vouchers of a customer that would redeem now, oldest expiry first."""
    page = listing.list_redeemable(query["email"], query["limit"], after=query.get("cursor"))
    return page.vouchers, _link_to_next(query, page)


def _link_to_next(query: dict[str, Any], page: listing.Page) -> dict[str, str]:
    """Return the header that leads to the next page (RFC 8288), if there is one."""
    if page.end is None:
        return {}
    parameters = schemas.ListRequest().dump(query | {"cursor": page.end})
    return {"Link": f'<{url_for("vouchers.list_vouchers", **parameters)}>; rel="next"'}
