"""Requests that are read a short way."""

import pytest
from marshmallow import Schema

from voucherpool.input.schemas import Plain, Request


def below(schema):
    return {schema, *(deeper for child in schema.__subclasses__() for deeper in below(child))}


schemas = sorted(below(Plain) - {Plain}, key=lambda schema: schema.__name__)


@pytest.mark.parametrize("schema", schemas)
def test_it_has_no_hook_and_no_other_name_of_a_field_that_would_be_skipped(schema):
    # It refuses null as a hook of Request expects, which then drops it.
    assert {name for found in schema._hooks.values() for name, *_ in found} == {
        Request.without_nulls.__name__
    }
    names = {(field.data_key, field.attribute) for field in schema().load_fields.values()}
    assert names == {(None, None)}


bodies = [
    {"code": " k0i-1 ", "email": " ana@example.org "},
    {"code": "KOI1", "email": "ana@example.org", "order_ref": "o", "order_amount": 5},
    {"code": "KOI1", "email": "ana@example.org", "create_customer": True, "currency": "EUR"},
]


@pytest.mark.parametrize("body", bodies)
@pytest.mark.parametrize("schema", [it for it in schemas if {"code", "email"} <= set(it().fields)])
def test_a_right_body_is_read_as_marshmallow_reads_it(schema, body):
    known = {name: value for name, value in body.items() if name in schema().fields}
    assert schema().load(known) == Schema.load(schema(), known)
