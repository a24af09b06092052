"""Examples of the OpenAPI document that work on a seeded database, in the document's order."""

import json
from pathlib import Path
from typing import Any

written = json.loads(Path(__file__).with_name("examples.json").read_text())
"""By operation: the `parameters` and the `request` to send, and an `answer` to them."""


def illustrated(document: dict[str, Any]) -> dict[str, Any]:
    """Add the examples to an OpenAPI document, and return it."""
    for path in document["paths"].values():
        for operation in path.values():
            # An operation's own copies, because each has its own example.
            operation["parameters"] = [dict(one) for one in operation["parameters"]]
            _illustrate(operation, written.get(operation["operationId"], {}))
    return document


def _illustrate(operation: dict[str, Any], example: dict[str, Any]) -> None:
    for parameter in operation["parameters"]:
        if parameter["name"] in example.get("parameters", {}):
            parameter["example"] = example["parameters"][parameter["name"]]
    if "request" in example:
        _put(operation["requestBody"], example["request"])
    if "answer" in example:
        success = next(name for name in operation["responses"] if name.startswith("2"))
        _put(operation["responses"][success], example["answer"])


def _put(body: dict[str, Any], example: object) -> None:
    for content in body["content"].values():
        content["example"] = example
