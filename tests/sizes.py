"""Prints what has grown long: a place to look at, not an error."""

import ast
from collections.abc import Iterator
from pathlib import Path

from voucherpool.config.settings import checkout

long_file, long_function = 200, 32
"""Four fifths of what is too long to take in at once: 250 lines of a file, 40 of a function."""


def lengths(module: Path) -> Iterator[tuple[str, int]]:
    """Yield the long parts of a module with their lines."""
    source = module.read_text()
    place = module.relative_to(checkout)
    if (lines := source.count("\n")) > long_file:
        yield str(place), lines
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > long_function:
                yield f"{place}:{node.lineno} {node.name}", lines


if __name__ == "__main__":
    for found in sorted((checkout / "voucherpool").rglob("*.py")):
        for name, lines in lengths(found):
            print(f"long: {name}, {lines} lines")
