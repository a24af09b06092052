"""The routes for support staff."""

from voucherpool.batches.errors import BatchNotFound
from voucherpool.customers.errors import CustomerNotFound
from voucherpool.database.paging import Page
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.offers.errors import OfferNotFound
from voucherpool.support import changing, schemas, search, service
from voucherpool.vouchers.errors import (
    LimitBelowUses,
    VoucherArchived,
    VoucherInUse,
    VoucherNotFound,
)

blueprint = Blueprint(
    "support",
    __name__,
    description="Finding vouchers, a voucher's whole record, and switching it off.",
)


@blueprint.post(
    "/vouchers/lookup",
    scope="support",
    body=schemas.LookupRequest(),
    answer=(200, schemas.VoucherRecord()),
    refuses=(VoucherNotFound,),
)
def lookup_voucher(body: Fields) -> service.Record:
    """Look up a voucher's record, for service."""
    return service.lookup(body["code"], body.get("cursor"))


@blueprint.post(
    "/vouchers/change",
    scope="admin",
    body=schemas.VoucherChange(),
    answer=(200, schemas.VoucherRecord()),
    refuses=(
        *(VoucherNotFound, VoucherArchived, CustomerNotFound),
        *(LimitBelowUses, VoucherInUse),
    ),
    writes=True,
)
def change_voucher(body: Fields) -> service.Record:
    """Change the window, the limit or the customer of a voucher; disable or enable it."""
    return changing.change(**body)


@blueprint.post(
    "/vouchers/disable",
    scope="support",
    body=schemas.SwitchRequest(),
    answer=(200, schemas.VoucherRecord()),
    refuses=(VoucherNotFound, VoucherArchived),
    writes=True,
)
def disable_voucher(body: Fields) -> service.Record:
    """Disable a voucher until it is enabled."""
    return service.disable(**body)


@blueprint.post(
    "/vouchers/enable",
    scope="support",
    body=schemas.SwitchRequest(),
    answer=(200, schemas.VoucherRecord()),
    refuses=(VoucherNotFound, VoucherArchived),
    writes=True,
)
def enable_voucher(body: Fields) -> service.Record:
    """Enable a disabled voucher."""
    return service.enable(**body)


@blueprint.post(
    "/vouchers/search",
    scope="support",
    body=schemas.VoucherSearch(),
    body_is_optional=True,
    answer=(200, schemas.found_page),
    refuses=(CustomerNotFound, OfferNotFound, BatchNotFound),
)
def search_vouchers(body: Fields) -> Page:
    """Search vouchers, including the archive, and say why each would not redeem.

    A page may hold fewer vouchers than its limit although more follow.
    """
    return search.search(body.pop("limit"), body.pop("cursor", None), **body)


@blueprint.get(
    "/customers/<id:customer_id>/vouchers",
    scope="read",
    or_scope="support",
    query=schemas.CustomersVouchersRequest(),
    answer=(200, schemas.found_page),
    refuses=(CustomerNotFound,),
)
def list_customers_vouchers(query: Fields, customer_id: int) -> Page:
    """List all vouchers of a customer, and why each would not redeem; earliest expiry first."""
    return search.of_customer(customer_id, query["limit"], query.get("cursor"))
