"""The routes for support staff."""

from voucherpool.errors import VoucherArchived, VoucherNotFound
from voucherpool.http.routes import Blueprint, Fields
from voucherpool.support import schemas, service
from voucherpool.vouchers.schemas import CodeRequest

blueprint = Blueprint(
    "support",
    __name__,
    url_prefix="/vouchers",
    description="A voucher's whole record, and switching it off.",
)


@blueprint.post(
    "/lookup",
    scope="admin",
    body=CodeRequest(),
    answer=(200, schemas.VoucherRecord()),
    refuses=(VoucherNotFound,),
)
def lookup_voucher(body: Fields) -> service.Record:
    """Look up a voucher's record, for service."""
    return service.lookup(**body)


@blueprint.post(
    "/disable",
    scope="admin",
    body=schemas.SwitchRequest(),
    answer=(200, schemas.VoucherRecord()),
    refuses=(VoucherNotFound, VoucherArchived),
    writes=True,
)
def disable_voucher(body: Fields) -> service.Record:
    """Disable a voucher until it is enabled."""
    return service.disable(**body)


@blueprint.post(
    "/enable",
    scope="admin",
    body=schemas.SwitchRequest(),
    answer=(200, schemas.VoucherRecord()),
    refuses=(VoucherNotFound, VoucherArchived),
    writes=True,
)
def enable_voucher(body: Fields) -> service.Record:
    """Enable a disabled voucher."""
    return service.enable(**body)
