"""The examples of the OpenAPI document: each request works as it stands, on a seeded database."""

import json
import re
from dataclasses import replace
from ipaddress import ip_network

import pytest

from tests.conftest import config
from voucherpool import create_app
from voucherpool.apikeys import service as apikeys
from voucherpool.config.settings import checkout
from voucherpool.database.transactions import transaction
from voucherpool.operations import seeding

only_later = {
    *("reverseRedemption", "showUnsubscribe", "unsubscribe"),
    *("deleteBatch", "deleteOffer"),
}
"""Operations that name what only an earlier answer tells, or delete what others name."""


@pytest.fixture
def seeded(database_url):
    """Return a client of the service as `make run` starts it."""
    loopback = (ip_network("127.0.0.0/8"),)
    app = create_app(replace(config(database_url), webhooks_allow=loopback))
    with app.app_context(), transaction():
        seeding.load(checkout / "seeds")
        key = apikeys.create("examples", apikeys.scopes)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def examples_of(document):
    """Return each operation's path, method, parameters, and media type and example of the body."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            given = {
                parameter["name"]: (parameter["in"], parameter["example"])
                for parameter in operation["parameters"]
                if "example" in parameter
            }
            [(media_type, content)] = (
                operation.get("requestBody", {}).get("content", {None: {}}).items()
            )
            yield path, method, operation, given, media_type, content.get("example")


def send(client, path, method, given, media_type, body):
    """Send a request example."""
    of_path = {name: value for name, (place, value) in given.items() if place == "path"}
    query = {name: value for name, (place, value) in given.items() if place == "query"}
    data = body if isinstance(body, str) else None if body is None else json.dumps(body)
    return client.open(
        path.format(**of_path),
        method=method.upper(),
        query_string=query,
        data=data,
        content_type=media_type,
        buffered=True,
    )


def shape(value):
    """Return the value with the names of types in the place of texts and numbers."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def test_each_request_example_is_accepted_and_answered_like_its_answer_example(seeded):
    document = seeded.get("/openapi.json").json
    sent = 0
    for path, method, operation, given, media_type, body in examples_of(document):
        if operation["operationId"] in only_later:
            continue
        assert body is not None or "requestBody" not in operation, operation["operationId"]
        answer = send(seeded, path, method, given, media_type, body)
        success = str(answer.status_code)
        assert answer.status_code < 300, (operation["operationId"], answer.text)
        shown = operation["responses"][success].get("content", {})
        for content in shown.values():
            example = content["example"]
            found = answer.text if isinstance(example, str) else answer.json
            if isinstance(example, str):
                assert example.splitlines()[0] in found.splitlines()
            else:
                assert shape(found) == shape(example), operation["operationId"]
        sent += 1
    assert sent == sum(map(len, document["paths"].values())) - len(only_later)


def test_the_examples_work_in_any_order_but_for_those_that_need_what_others_created(seeded):
    document = seeded.get("/openapi.json").json
    backwards = reversed([*examples_of(document)])
    sent = []
    for path, method, operation, *example in backwards:
        name = operation["operationId"]
        if name in only_later or re.match("/(webhooks|schedules|batches|changes)/{", path):
            continue
        answer = send(seeded, path, method, *example)
        assert answer.status_code < 300, (name, answer.text)
        sent.append(name)
    assert sent.index("reverseOrder") < sent.index("redeemVoucher")
    assert sent.index("disableVoucher") < sent.index("checkVoucher")
