"""That a process can be hit exactly, proved on this one with a signal that does no harm."""

import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.system.chaos import fault_points
from tests.system.chaos.fault_points import POINTS


class Steps:
    def __init__(self) -> None:
        self.taken: list[str] = []

    async def step(self) -> str:
        self.taken.append("step")
        return "done"


@pytest.fixture
def hits() -> Iterator[list[int]]:
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: came.append(number))
    yield came
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_armed_point_hits_once(when: str, hits: list[int], tmp_path: Path) -> None:
    armed = tmp_path / "armed"
    step = fault_points._hit(Steps.step, when, "here", armed)
    steps = Steps()
    fault_points.arm(armed, "elsewhere", signal.SIGUSR1)
    assert await step(steps) == "done"
    assert hits == []
    fault_points.arm(armed, "here", signal.SIGUSR1)
    assert await step(steps) == "done"
    assert await step(steps) == "done"
    assert hits == [signal.SIGUSR1]
    assert not armed.exists()


def test_every_point_names_a_method_that_is_there() -> None:
    for of_service in POINTS.values():
        for point in of_service.values():
            owner, _, method = point.method.partition(".")
            assert callable(getattr(getattr(import_module(point.module), owner), method)), point
