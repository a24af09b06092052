"""Fills a new database from the seed files."""

from pathlib import Path
from typing import Any, NamedTuple

from marshmallow import Schema, ValidationError

from voucherpool.audit import service as audit
from voucherpool.customers import service as customers
from voucherpool.customers.schemas import NewCustomer
from voucherpool.errors import InvalidInput, MalformedJson
from voucherpool.input import strict_json
from voucherpool.offers import service as offers
from voucherpool.offers.schemas import OfferSeed


class Added(NamedTuple):
    """How many rows the seeds added."""

    customers: int
    offers: int


def load(directory: Path) -> Added:
    """Add the customers of customers.json and the offers of offers.json that do not exist.

    Raises InvalidInput, MalformedJson and OSError.
    """
    people = _read(NewCustomer(many=True), directory / "customers.json")
    specials = _read(OfferSeed(many=True), directory / "offers.json")
    added = Added(
        sum(customers.ensure(**person) for person in people),
        sum(offers.ensure(**special) for special in specials),
    )
    if any(added):
        audit.record("seeds.planted", directory, after=added._asdict())
    return added


def _read(schema: Schema, file: Path) -> list[dict[str, Any]]:
    try:
        seeds: list[dict[str, Any]] = schema.load(strict_json.parse(file.read_bytes()))
    except ValidationError as error:
        raise InvalidInput({str(file): error.messages}) from error
    except MalformedJson as error:
        raise MalformedJson(f"{file}: {error.detail}", error.errors) from error
    return seeds
