"""A plugin of pytest for `make mutants`: runs the tests again and again, each to its first failure.

Says in how many runs a test failed. A test that cannot even be set up tells nothing.
"""

from typing import Any

import pytest

failed: dict[int, str] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take how often the tests run."""
    parser.addoption("--runs", type=int, default=1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat every test, which names its run."""
    runs = range(metafunc.config.option.runs)
    metafunc.fixturenames.append("_run")
    metafunc.parametrize("_run", runs, ids=[f"run {number + 1}" for number in runs])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each run's tests together."""
    items.sort(key=_run_of)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out the rest of a run that failed."""
    if _run_of(item) in failed:
        pytest.skip("the run has failed")


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Note the run of a test that fails."""
    excuse = call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception)
    if call.excinfo is not None and call.when != "setup" and not excuse:
        failed.setdefault(_run_of(item), item.originalname)  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say in how many runs a test failed, and which."""
    by = ", ".join(sorted(set(failed.values()))) or "none"
    terminalreporter.write_line(f"noticed in {len(failed)} of {config.option.runs} runs by {by}")


def _run_of(item: pytest.Item) -> int:
    return int(item.callspec.params["_run"])  # type: ignore[attr-defined]
