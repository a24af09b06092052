"""Exports all that is kept about a customer (GDPR, articles 15 and 20)."""

import json
import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from io import TextIOWrapper
from typing import IO

from voucherpool.customers import service as customers
from voucherpool.erasure.personal_data import Person, places
from voucherpool.input.amounts import json_number
from voucherpool.input.times import rfc3339_utc

media_type = "application/json"


def person_of(customer_id: int) -> Person:
    """Return the customer's id and e-mails. Raises CustomerNotFound."""
    return Person(customer_id, customers.read(customer_id).emails())


def write(file: IO[bytes], person: Person) -> None:
    """Write an object with the rows of each table that are about a person, and rewind the file.

    Call it in a long_transaction(), whose one snapshot they show.
    """
    text = TextIOWrapper(file, "utf-8", newline="")
    for place_number, place in enumerate(places):
        text.write(f"{',' if place_number else '{'}\n{json.dumps(place.table)}:[")
        for row_number, row in enumerate(place.read(person)):
            text.write(f"{',' if row_number else ''}\n{encode(dict(row))}")
        text.write("]")
    text.write("}\n")
    text.detach()
    file.seek(0)


def plain(value: object) -> object:
    """Return a value as the API's answers write it."""
    if isinstance(value, datetime):
        return rfc3339_utc(value)
    if isinstance(value, Decimal):
        return json_number(value)
    if isinstance(value, uuid.UUID | timedelta):
        return str(value)
    raise TypeError(f"an export has no form for {type(value).__name__}")


encode = json.JSONEncoder(default=plain, ensure_ascii=False).encode
