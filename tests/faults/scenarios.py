"""The list of scenarios; each is a function that breaks what a Run serves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from tests.faults.run import Run

Play = Callable[[Run], None]


@dataclass(frozen=True)
class Scenario:
    """An attack on the service; `control` names the guard that its control switches off.

    The control runs at the size `control_size`, or more where chance needs it to turn red.
    """

    name: str
    play: Play
    control: str
    control_size: float

    @property
    def about(self) -> str:
        """Return the sentence that says what happens."""
        return (self.play.__doc__ or "").split("\n", 1)[0]


all_by_name: dict[str, Scenario] = {}


def scenario(name: str, *, control: str, control_size: float = 0.1) -> Callable[[Play], Play]:
    """Register a function as a scenario."""

    def register(play: Play) -> Play:
        all_by_name[name] = Scenario(name, play, control, control_size)
        return play

    return register


def load() -> Mapping[str, Scenario]:
    """Return all scenarios, in the order in which they run."""
    for module in ("races", "kills", "background", "failovers", "edges"):
        import_module(f"tests.faults.{module}")
    return all_by_name
