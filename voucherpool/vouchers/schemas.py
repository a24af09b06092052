"""What the vouchers' routes take and answer."""

import base64
import re
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from voucherpool.fields import Email, Percentage, Text, Timestamp
from voucherpool.vouchers import codes

largest_page = 500


class GenerateRequest(Schema):
    """A voucher to issue."""

    email = Email(required=True)
    offer_name = Text(longest=200, required=True)
    discount = Percentage(required=True)
    expires_at = Timestamp(required=True, data_key="expiry")


class Code(Schema):
    """A voucher's code, in the spelling to show to people."""

    code = fields.String(required=True)


class RedeemRequest(Schema):
    """A voucher to redeem, in any spelling of its code."""

    code = Text(longest=codes.longest_spelling, required=True)
    email = Email(required=True)


class Redemption(Schema):
    """A redemption; `discount` is the percentage that it gave."""

    discount = Percentage(required=True)
    redemption_id = fields.UUID(required=True, attribute="id")
    redeemed_at = Timestamp(required=True)


def whole_number(digits: str) -> int:
    """Return the number of 1 to 18 ASCII digits, which PostgreSQL's bigint can hold."""
    if not re.fullmatch("[0-9]{1,18}", digits):
        raise ValidationError("Must be a whole number.")
    return int(digits)


class PageSize(fields.Integer):
    """How many items a page may have: 1 to 500, also when it comes as text in a query."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Range(1, largest_page), **options)

    def _validated(self, value: Any) -> int:
        return whole_number(str(value))


class Cursor(fields.Field[tuple[datetime, int]]):
    """Where the page before this one ended; opaque to clients, and silent about codes."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        moment, number = value
        text = f"{moment.astimezone(UTC).isoformat()}~{number}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> tuple[datetime, int]:
        try:
            moment, number = base64.urlsafe_b64decode(value + "==").decode().split("~")
            return Timestamp().deserialize(moment), whole_number(number)
        except (ValueError, TypeError) as error:
            raise ValidationError("Must be a cursor out of a Link header.") from error


class ListRequest(Schema):
    """Whose vouchers to list, and which page of them."""

    email = Email(required=True)
    limit = PageSize(load_default=100)
    cursor = Cursor()


class ListedVoucher(Schema):
    """A voucher that would redeem now."""

    code = fields.String(required=True)
    offer_name = fields.String(required=True)
    discount = Percentage(required=True)
    expires_at = Timestamp(required=True)
