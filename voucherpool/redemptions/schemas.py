"""The redemptions' requests and answers."""

from marshmallow import fields, validate

from voucherpool.audit.schemas import Reason
from voucherpool.input.amounts import AmountShown
from voucherpool.input.fields import Cursor, Email, Flag, Id, Metadata, Name, OpenEnum
from voucherpool.input.schemas import Answer, PageRequest, Request, Search, Span, page_of
from voucherpool.input.times import End, Moment, Timestamp
from voucherpool.offers.schemas import discount_types
from voucherpool.statistics.schemas import Money
from voucherpool.vouchers.schemas import AnyCode


class Redemption(Answer):
    """A row of the ledger.

    A use that was taken before its voucher was imported has the `kind` imported: its moment is that
    of the import, its amounts are unknown, and so is perhaps its customer.
    """

    id = fields.UUID()
    code = fields.String()
    email = fields.String(allow_none=True)
    offer_name = fields.String()
    order_ref = fields.String(allow_none=True)
    order_amount = AmountShown(allow_none=True)
    discount = AmountShown()
    discount_type = OpenEnum(*discount_types)
    currency = fields.String(allow_none=True)
    discount_amount = AmountShown(allow_none=True)
    redeemed_at = Timestamp()
    reversed_at = Timestamp(allow_none=True)
    kind = fields.String(validate=validate.OneOf(("redeemed", "imported")))
    metadata = Metadata(allow_none=True)


class Reversal(Request):
    """Why a redemption is given back; all of it may be left out."""

    reason = Reason()


class RedemptionsRequest(PageRequest):
    """The redemptions to list, and the page."""

    email = Email()
    order_ref = Name()
    cursor = Cursor(Timestamp(), fields.UUID())


class RedemptionCriteria(Span):
    """The redemptions to find: they meet all criteria, at a time from `from` on and before `to`.

    The time is `redeemed_at`, or with `by` the one at which they were given back.
    """

    code = AnyCode()
    offer_id = Id()
    offer_name = Name()
    batch_id = Id()
    email = Email()
    order_ref = Name()
    since = Moment(data_key="from")
    until = End(data_key="to")
    by = fields.String(validate=validate.OneOf(("redeemed_at", "reversed_at")))


class RedemptionSearch(RedemptionCriteria, Search):
    """The redemptions to find, and the page."""

    cursor = Cursor(Timestamp(), fields.UUID())


class RedemptionExport(RedemptionCriteria):
    """The redemptions to export; with `bom`, for Excel, after a byte order mark."""

    bom = Flag(load_default=False)


class OrderRequest(Request):
    """An order whose redemptions to give back."""

    order_ref = Name(required=True)
    reason = Reason()


class OrderRedemptions(Answer):
    """All redemptions of an order."""

    items = fields.List(fields.Nested(Redemption))


class Redemptions(Answer):
    """A page of redemptions; with an order_ref, what its vouchers took off in all.

    Redemptions that were given back do not count in `discounted`.
    """

    items = fields.List(fields.Nested(Redemption))
    next = Cursor(Timestamp(), fields.UUID(), allow_none=True)
    discounted = fields.List(fields.Nested(Money), allow_none=True)


found_page = page_of(Redemption, "FoundRedemptions", Timestamp(), fields.UUID())
