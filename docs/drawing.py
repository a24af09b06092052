"""Draws the imports between packages into docs/architecture.md; `make drawing` runs it."""

import re
from graphlib import TopologicalSorter
from pathlib import Path

import grimp

page = Path(__file__).with_name("architecture.md")
root = "voucherpool"
place = re.compile("(?<=<!-- drawing -->\n).*?(?=<!-- end of drawing -->)", re.DOTALL)

Imports = dict[str, set[str]]


def imports() -> Imports:
    """Return the packages and modules of the top level, and which of them each imports."""
    graph = grimp.build_graph(root, cache_dir=None)
    children = graph.find_children(root) - {f"{root}.__main__"}
    for child in children:
        graph.squash_module(child)
    return {
        _name(child): {
            _name(one) for one in graph.find_modules_directly_imported_by(child) & children
        }
        for child in children
    }


def _name(module: str) -> str:
    return module.removeprefix(f"{root}.")


def without_detours(imports: Imports) -> Imports:
    """Return the imports without those that a longer way of others draws too."""
    reached: Imports = {}
    # Raises CycleError if some import each other, for then one arrow would point up.
    for package in TopologicalSorter(imports).static_order():
        direct = imports[package]
        reached[package] = direct.union(*(reached[other] for other in direct))
    return {
        package: {one for one in direct if not any(one in reached[other] for other in direct)}
        for package, direct in imports.items()
    }


def drawing() -> str:
    """Return the imports as a flowchart of Mermaid (https://mermaid.js.org/syntax/flowchart.html)."""
    arrows = [
        f"    {package} --> {other}"
        for package, others in sorted(without_detours(imports()).items())
        for other in sorted(others)
    ]
    return "\n".join(["```mermaid", "flowchart TD", *arrows, "```", ""])


def drawn(text: str) -> str:
    """Return the page's text with the current drawing in it."""
    return place.sub(drawing(), text)


if __name__ == "__main__":
    page.write_text(drawn(page.read_text()))
