"""Writes the lower part of the client from the OpenAPI document; `make client` runs it."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from voucherpool import create_app
from voucherpool.config.settings import Config
from voucherpool.http.documentation.document import document_of

module = Path(__file__).with_name("voucherpool_client.py")
mark = "# --- From here on"
reference = re.compile(r"#/components/schemas/(\w+)")
types = {"string": "str", "number": "Number", "integer": "int", "boolean": "bool", "null": "None"}
most_literals = 12
"""A longer enum, such as that of the currencies, is any text."""

Described = dict[str, Any]


def generated(text: str, document: Described) -> str:
    """Return the text of the module with a lower part that is made from the document."""
    above, begin, below = text.partition(mark)
    parts = [
        above + begin + below.partition("\n")[0],
        f'__version__ = "{document["info"]["version"]}"',
        *typed_dicts(document["components"]["schemas"]),
        'class Client(Connection):\n    """The operations of the service."""',
        *methods(document["paths"]),
    ]
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(module), "-"]
    formatted = subprocess.run(
        command, input="\n\n".join(parts), capture_output=True, text=True, check=True
    )
    return str(formatted.stdout)


def typed_dicts(schemas: dict[str, Described]) -> Iterator[str]:
    """Yield a TypedDict for each schema, after those that it refers to."""
    needed = {name: reference.findall(repr(schema)) for name, schema in schemas.items()}
    for name in TopologicalSorter(needed).static_order():
        required = schemas[name].get("required", ())
        fields = {field: type_of(one) for field, one in schemas[name]["properties"].items()}
        yield "\n    ".join(
            [
                f"class {name}(TypedDict):",
                *(
                    f"{python(field)}: {kind if field in required else f'NotRequired[{kind}]'}"
                    for field, kind in fields.items()
                ),
            ]
        )


def type_of(schema: Described) -> str:
    """Return the annotation of a schema."""
    if found := reference.match(schema.get("$ref", "")):
        return found[1]
    if "type" not in schema:
        choices = schema.get("oneOf") or schema.get("anyOf") or []
        return " | ".join(map(type_of, choices)) or "Any"
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if {"number", "string"} <= set(names):
        names = ["Amount", *(name for name in names if name == "null")]
    return " | ".join(_type(name, schema) for name in names)


def _type(name: str, schema: Described) -> str:
    if name == "array":
        return f"list[{type_of(schema['items'])}]"
    if name == "object":
        return f"dict[str, {type_of(schema.get('additionalProperties', {}))}]"
    values = [value for value in schema.get("enum", ()) if value is not None]
    if name == "string" and 0 < len(values) <= most_literals:
        return f"Literal[{', '.join(map(repr, values))}]"
    return types.get(name, name)


def methods(paths: dict[str, dict[str, Described]]) -> Iterator[str]:
    """Yield a method for each operation that needs a key and is no earlier name of another."""
    for path, operations in paths.items():
        for verb, operation in operations.items():
            if operation["security"] and not operation.get("deprecated"):
                yield textwrap.indent(method(verb.upper(), path, operation), "    ")


def method(verb: str, path: str, operation: Described) -> str:
    """Return the method of an operation, named after its id."""
    place = re.sub(r"{\w+}", "{}", path)
    pairs = [("self", f"{verb!r}, {place!r}"), *_arguments(operation)]
    given, sent = zip(*pairs, strict=True)
    arguments, values = ", ".join(filter(None, given)), ", ".join(filter(None, sent))
    answer = answer_of(operation)
    call = f"self.{'_write' if is_write(operation) else '_send'}({values})"
    if answer != "None":
        call = f"answer: {answer} = {call}\n    return answer"
    name = re.sub("[A-Z]", lambda found: "_" + found[0].lower(), operation["operationId"])
    summary = "\n    ".join(textwrap.wrap(operation["summary"], 88))
    return f'def {name}({arguments}) -> {answer}:\n    """{summary}"""\n    {call}\n'


def is_write(operation: Described) -> bool:
    """Tell whether an operation changes something, so that its repeats need a key."""
    return any(one["name"] == "Idempotency-Key" for one in operation["parameters"])


def _arguments(operation: Described) -> Iterator[tuple[str, str]]:
    """Yield the arguments of a method in their order, and those of its call."""
    placed = [(one["in"], one["name"], one) for one in operation["parameters"]]
    for where, name, one in placed:
        if where == "path":
            yield f"{name}: {type_of(one['schema'])}", name
    content = operation.get("requestBody", {}).get("content", {})
    for media_type in content.keys() - {"application/json"}:
        yield "content: str | bytes", f"body=content, content_type='{media_type}'"
    query = {name: one for where, name, one in placed if where == "query"}
    if query or is_write(operation):
        yield "*", ""
    for name, one in query.items():
        kind = type_of(one["schema"])
        yield f"{python(name)}: {kind if one['required'] else f'{kind} | None = None'}", ""
    if query:
        yield "", f"query={{{', '.join(f'{name!r}: {python(name)}' for name in query)}}}"
    if is_write(operation):
        yield "idempotency_key: str | None = None", "key=idempotency_key"
        yield "actor: str | None = None", "actor=actor"
    if "application/json" in content:
        yield f"**body: Unpack[{type_of(content['application/json']['schema'])}]", "body=body"


def answer_of(operation: Described) -> str:
    """Return the annotation of what an operation answers; a bare list may have a next page."""
    [success] = (one for status, one in operation["responses"].items() if status < "3")
    for media_type, content in success.get("content", {}).items():
        if media_type != "application/json":
            return "str"
        return re.sub("^list", "Linked", type_of(content["schema"]))
    return "None"


def python(name: str) -> str:
    """Return a name as Python takes it: it knows `from` as a word of its own."""
    return f"{name}_" if name == "from" else name


def document() -> Described:
    """Return the OpenAPI document of this checkout; no database is asked."""
    return document_of(create_app(Config(make_url("postgresql+psycopg2://"))))


if __name__ == "__main__":
    module.write_text(generated(module.read_text(), document()))
