"""Fills a new database from the seed files."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError, fields

from voucherpool.audit import service as audit
from voucherpool.customers import service as customers
from voucherpool.customers.schemas import NewCustomer
from voucherpool.input import strict_json
from voucherpool.input.amounts import Amount, Currency
from voucherpool.input.errors import InvalidInput, MalformedJson
from voucherpool.input.fields import Count, Email, Name
from voucherpool.offers import service as offers
from voucherpool.offers.schemas import OfferSeed
from voucherpool.vouchers import issuing
from voucherpool.vouchers.checkout import redeeming
from voucherpool.vouchers.errors import VoucherExists
from voucherpool.vouchers.schemas import VanityCode, most_redemptions

forever = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


class OrderSeed(Schema):
    """An order that redeems a voucher of a seed file."""

    order_ref = Name(required=True)
    order_amount = Amount()
    currency = Currency()


class VoucherSeed(Schema):
    """A voucher in a seed file, bound to a customer, and the order that redeems it, if any."""

    code = VanityCode(required=True)
    offer_name = Name(required=True)
    email = Email(required=True)
    max_redemptions = Count(most=most_redemptions)
    order = fields.Nested(OrderSeed)


class Added(NamedTuple):
    """How many rows the seeds added."""

    customers: int
    offers: int
    vouchers: int


def load(directory: Path) -> Added:
    """Add what does not exist: customers, offers with their pools, and vouchers if there are any.

    The files are customers.json, offers.json and vouchers.json. Raises InvalidInput, MalformedJson
    and OSError.
    """
    people = _read(NewCustomer(many=True), directory / "customers.json")
    specials = _read(OfferSeed(many=True), directory / "offers.json")
    vouchers = directory / "vouchers.json"
    bound = _read(VoucherSeed(many=True), vouchers) if vouchers.exists() else []
    people_added = sum(customers.ensure(**person) for person in people)
    pools = [special.pop("pool", 0) for special in specials]
    new = [offers.ensure(**special) for special in specials]
    filled = sum(
        _fill(special["name"], size)
        for special, size, is_new in zip(specials, pools, new, strict=True)
        if is_new and size
    )
    issued = sum(_issue(**voucher) for voucher in bound)
    added = Added(people_added, sum(new), filled + issued)
    if any(added):
        audit.record("seeds.planted", directory, after=added._asdict())
    return added


def _fill(offer_name: str, size: int) -> int:
    for _ in range(size):
        issuing.issue(None, offer_name, forever)
    return size


def _issue(code: str, email: str, order: Mapping[str, Any] | None = None, **terms: Any) -> bool:
    """Issue a voucher unless its code is taken, and redeem it by the order; tell whether it did."""
    try:
        issuing.issue(email, expires_at=forever, code=code, **terms)
    except VoucherExists:
        return False
    if order is not None:
        redeeming.redeem(code, email, **order)
    return True


def _read(schema: Schema, file: Path) -> list[dict[str, Any]]:
    try:
        seeds: list[dict[str, Any]] = schema.load(strict_json.parse(file.read_bytes()))
    except ValidationError as error:
        raise InvalidInput({str(file): error.messages}) from error
    except MalformedJson as error:
        raise MalformedJson(f"{file}: {error.detail}", error.errors) from error
    return seeds
