"""A plugin of pytest for `make fuzz`: its last line says what all parts found together."""

from typing import Any

name = "fuzz"
"""The property by which a part reports its seed, cases, server errors and breaks."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Add the parts up."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    found = [value for report in reports for key, value in report.user_properties if key == name]
    seeds, *totals = zip(*found, strict=True) if found else ([None], [0], [0], [0])
    cases, server_errors, breaks = map(sum, totals)
    terminalreporter.write_line(
        f"{cases} cases in {len(found)} parts, {server_errors} server errors, "
        f"{breaks} breaks of the schema (seed {seeds[0]})"
    )
