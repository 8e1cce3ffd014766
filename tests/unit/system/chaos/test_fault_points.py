"""Fault points send a signal at an exact step; tested in this process with a harmless signal."""

import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.system.chaos import fault_points
from tests.system.chaos.fault_points import FAULT_POINTS


class Steps:
    def __init__(self) -> None:
        self.calls: list[str] = []

    async def step(self) -> str:
        self.calls.append("step")
        return "done"


@pytest.fixture
def received_signals() -> Iterator[list[int]]:
    numbers: list[int] = []
    previous_handler = signal.signal(signal.SIGUSR1, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGUSR1, previous_handler)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_armed_fault_point_sends_its_signal_once(
    when: str, received_signals: list[int], tmp_path: Path
) -> None:
    trigger_file = tmp_path / "armed"
    step = fault_points.wrap(Steps.step, when, "here", trigger_file)
    steps = Steps()
    fault_points.arm(trigger_file, "elsewhere", signal.SIGUSR1)
    assert await step(steps) == "done"
    assert received_signals == []
    fault_points.arm(trigger_file, "here", signal.SIGUSR1)
    assert await step(steps) == "done"
    assert await step(steps) == "done"
    assert received_signals == [signal.SIGUSR1]
    assert not trigger_file.exists()


def test_every_fault_point_names_an_existing_method() -> None:
    for service_points in FAULT_POINTS.values():
        for point in service_points.values():
            owner, _, method = point.method.partition(".")
            assert callable(getattr(getattr(import_module(point.module), owner), method)), point
