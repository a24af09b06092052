"""Requests that are read a short way."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from marshmallow import Schema, ValidationError

from voucherpool.input.schemas import Plain, Request
from voucherpool.vouchers.schemas import (
    CheckRequest,
    Expiring,
    GenerateRequest,
    HoldRequest,
    RedeemRequest,
)


def below(schema):
    return {schema, *(deeper for child in schema.__subclasses__() for deeper in below(child))}


schemas = sorted(below(Plain) - {Plain}, key=lambda schema: schema.__name__)


@pytest.mark.parametrize("schema", schemas)
def test_it_has_no_hook_that_a_valid_body_needs(schema):
    # They concern a null that means absent, and another name: the short way refuses both.
    of_odd_bodies = {Request.without_nulls.__name__, Expiring.either_name.__name__}
    assert {name for found in schema._hooks.values() for name, *_ in found} <= of_odd_bodies
    assert {field.attribute for field in schema().load_fields.values()} == {None}


order = {"code": "KOI1", "email": "ana@example.org"}
issue = {"email": "ana@example.org", "offer_name": " KOI", "expiry": "2030-12-31"}
bodies = [
    (RedeemRequest, {"code": " k0i-1 ", "email": " ana@example.org "}),
    (RedeemRequest, order | {"order_ref": "o", "order_amount": 5, "currency": "EUR"}),
    (RedeemRequest, order | {"create_customer": True, "order_ref": None}),
    (CheckRequest, order | {"email": None}),
    (HoldRequest, order | {"ttl_seconds": 5}),
    (GenerateRequest, issue | {"discount": Decimal("22.1"), "code": "koi-1"}),
    (GenerateRequest, issue | {"email": None, "expiry": None, "discount": None}),
    (GenerateRequest, issue | {"expiry": None, "expires_at": "2030-12-31"}),
]


@pytest.mark.parametrize(("schema", "body"), bodies)
def test_a_right_body_is_read_as_marshmallow_reads_it(schema, body):
    assert schema().load(body) == Schema.load(schema(), body)


def test_a_moment_may_have_its_other_name():
    body = {"email": None, "offer_name": "KOI", "expires_at": "2030-12-31T00:00:00Z"}
    assert GenerateRequest().load(body)["expires_at"] == datetime(2030, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"expires_at": "2031-01-01"}, "expires_at"),
        ({"offer_name": None}, "offer_name"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_body_is_refused_as_marshmallow_refuses_it(change, wrong):
    with pytest.raises(ValidationError) as refused:
        GenerateRequest().load(issue | change)
    assert set(refused.value.messages_dict) == {wrong}
