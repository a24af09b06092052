"""Reads the tables that commands print."""

import re


def columns(output: str) -> list[list[str]]:
    """Return the cells of each line, the headings first."""
    return [re.split("  +", line) for line in output.splitlines()]
