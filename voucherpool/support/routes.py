"""The routes for support staff."""

from voucherpool.errors import VoucherArchived, VoucherNotFound
from voucherpool.http.blueprints import Blueprint, Fields
from voucherpool.http.idempotency import write
from voucherpool.support import schemas, service
from voucherpool.vouchers.schemas import CodeRequest

blueprint = Blueprint(
    "support",
    __name__,
    url_prefix="/vouchers",
    description="A voucher's whole record, and switching it off.",
)


@blueprint.post("/lookup")
@blueprint.guarded("admin", VoucherNotFound)
@blueprint.arguments(CodeRequest())
@blueprint.response(200, schemas.VoucherRecord())
def lookup_voucher(body: Fields) -> service.Record:
    """Look up a voucher's record, for service."""
    return service.lookup(**body)


@blueprint.post("/disable")
@blueprint.guarded("admin", VoucherNotFound, VoucherArchived)
@blueprint.arguments(CodeRequest())
@write
@blueprint.response(200, schemas.VoucherRecord())
def disable_voucher(body: Fields) -> service.Record:
    """Disable a voucher until it is enabled."""
    return service.disable(**body)


@blueprint.post("/enable")
@blueprint.guarded("admin", VoucherNotFound, VoucherArchived)
@blueprint.arguments(CodeRequest())
@write
@blueprint.response(200, schemas.VoucherRecord())
def enable_voucher(body: Fields) -> service.Record:
    """Enable a disabled voucher."""
    return service.enable(**body)
