"""The scenarios of `make faults` at their smallest, so that they go on working."""

import pytest

from tests.faults import __main__ as faults
from tests.faults.scenarios import Scenario, load
from voucherpool.config.settings import checkout

pytestmark = pytest.mark.one_machine("starts a PostgreSQL of its own")
smallest = 0.02


@pytest.mark.long
def test_a_scenario_is_well_and_its_control_is_red(capsys):
    assert faults.report(load()["before-and-after-commit"], smallest)
    line = capsys.readouterr().out
    assert "acknowledged 4, unknown 4, kills 4, lost 0, doubled 0" in line
    assert "control red" in line


def test_a_control_that_is_not_red_is_a_failure(capsys):
    idle = Scenario("idle", lambda run: None, "keys", 1)
    assert not faults.report(idle, smallest)
    assert "control NOT RED" in capsys.readouterr().out


def test_the_page_has_a_row_for_each_scenario():
    page = (checkout / "docs" / "reliability.md").read_text()
    for name in load():
        assert f"| `{name}` |" in page
