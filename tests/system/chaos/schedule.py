"""The schedule of faults, drawn from a seed so that a run can be repeated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.system.chaos.fault_points import FAULT_POINTS
from tools.sandbox.servers.stack import SERVICES

FaultKind = Literal[
    "one is killed",
    "all are killed",
    "one is stopped",
    "one is paused",
    "the clock is wrong",
    "one joins and leaves",
    "is killed at a point",
    "is killed with a backlog",
    "is paused at a point",
    "is killed at each step of the last batch",
    "is killed",
    "is stopped",
    "both are killed",
    "the disk is full",
    "connections are slow",
    "connections are silent",
    "connections are cut",
    "is unavailable",
    "poison",
    "duplicates",
    "out of order",
]
"""What happens to the target, as the report says it. FaultInjector has an action for each."""

CONSUMERS = ("sessions", "alliance", "notify")
STORES = ("kafka", "mongodb")
SEND_POINTS = ("after an e-mail", "after a webhook")
EVERY_SERVICE_FAULTS: tuple[FaultKind, ...] = (
    "one is killed",
    "all are killed",
    "one is stopped",
    "one is paused",
    "the clock is wrong",
)
STORE_RESTARTS: tuple[FaultKind, ...] = ("is killed", "is stopped")
CONNECTION_FAULTS: tuple[FaultKind, ...] = ("connections are slow", "connections are silent", "connections are cut")
TOPIC_FAULTS: tuple[FaultKind, ...] = ("poison", "duplicates", "out of order")
MAX_FAULTS_PER_ROUND = 3  # each has another target


@dataclass(frozen=True)
class PlannedFault:
    """A fault that will be injected."""

    kind: FaultKind
    target: str
    """A service, a store, a receiver or the topics."""
    fault_point: str = ""
    """The exact step of a batch or a write, if the fault is injected at one."""


def all_faults() -> list[PlannedFault]:
    """Every possible fault, once."""
    faults = [PlannedFault(kind, name) for kind in EVERY_SERVICE_FAULTS for name in SERVICES]
    faults += [PlannedFault("one joins and leaves", name) for name in CONSUMERS]
    faults += [PlannedFault("is killed at a point", name, point) for name in SERVICES for point in FAULT_POINTS[name]]
    faults += [
        PlannedFault("is killed with a backlog", name, point) for name in CONSUMERS for point in _batch_points(name)
    ]
    faults += [PlannedFault("is paused at a point", name, point) for name in CONSUMERS for point in _batch_points(name)]
    faults += [PlannedFault(kind, store) for kind in STORE_RESTARTS for store in STORES]
    faults += [PlannedFault("both are killed", "kafka and mongodb"), PlannedFault("the disk is full", "mongodb")]
    faults += [PlannedFault(kind, store) for kind in CONNECTION_FAULTS for store in STORES]
    faults += [PlannedFault("is unavailable", receiver) for receiver in ("mail", "webhook")]
    faults += [PlannedFault(kind, "topics") for kind in TOPIC_FAULTS]
    return faults


def long_schedule(seed: int) -> Iterator[Sequence[PlannedFault]]:
    """Endless rounds of one to three faults: all faults in random order, then all again in another order."""
    random = Random(seed)
    while True:
        remaining = random.sample(every_fault := all_faults(), len(every_fault))
        while remaining:
            fault_round = [remaining.pop()]
            for _ in range(random.randrange(MAX_FAULTS_PER_ROUND)):
                targets = {part for fault in fault_round for part in fault.target.split(" and ")}
                next_fault = next(
                    (candidate for candidate in remaining if not targets & set(candidate.target.split(" and "))), None
                )
                if next_fault is not None:
                    remaining.remove(next_fault)
                    fault_round.append(next_fault)
            yield fault_round


def short_schedule(seed: int) -> Iterator[Sequence[PlannedFault]]:
    """The hardest faults, and those that expose each deliberate defect."""
    random = Random(seed)
    yield (
        PlannedFault("poison", "topics"),
        PlannedFault("is killed at a point", "intake", "before publishing"),
        PlannedFault("is killed at a point", "sessions", random.choice(("before publishing", "after the write"))),
        PlannedFault("the clock is wrong", "notify"),
    )
    yield (
        PlannedFault("duplicates", "topics"),
        PlannedFault("is paused at a point", "alliance", "after loading the states"),
        PlannedFault("is killed at a point", "notify", random.choice(SEND_POINTS)),
        PlannedFault("is killed with a backlog", "sessions", "after updating the projection"),
    )
    yield (PlannedFault("both are killed", "kafka and mongodb"),)
    yield (
        PlannedFault("out of order", "topics"),
        PlannedFault(
            "is killed with a backlog",
            "notify",
            random.choice(("after saving the alerts", "after planning deliveries")),
        ),
        PlannedFault("connections are cut", "mongodb"),
    )


FINAL_FAULT = PlannedFault("is killed at each step of the last batch", "alliance")
"""The end of every run. An unpublished state would be published with the next event; no event follows these."""
FINAL_FAULT_POINTS = ("after appending the events", "after saving the states", "after the commit")


def _batch_points(name: str) -> list[str]:
    return [point for point in FAULT_POINTS[name] if point not in (*SEND_POINTS, *WRITE_POINTS.get(name, ()))]


WRITE_POINTS: Mapping[str, Sequence[str]] = {"sessions": ("after the write", "before publishing", "after publishing")}
"""Fault points of an HTTP write, not of a batch."""
