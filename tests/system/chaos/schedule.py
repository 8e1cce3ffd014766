"""The schedule of faults, drawn from a seed so that a run can be repeated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.system.chaos.fault_points import FAULT_POINTS
from tools.sandbox.servers.stack import SERVICES

CONSUMERS = ("sessions", "alliance", "notify")
STORES = ("kafka", "mongodb")
SEND_POINTS = ("after an e-mail", "after a webhook")
MAX_FAULTS_PER_ROUND = 3  # each has another target


@dataclass(frozen=True)
class PlannedFault:
    """A fault that will be injected."""

    kind: str
    target: str
    """A service, a store, a receiver or the topics."""
    fault_point: str = ""
    """The exact step of a batch or a write, if the fault is injected at one."""


def all_faults() -> list[PlannedFault]:
    """Every possible fault, once."""
    faults = [
        PlannedFault(kind, name) for kind in ("one is killed", "all are killed", "one is stopped") for name in SERVICES
    ]
    faults += [PlannedFault("one is paused", name) for name in SERVICES]
    faults += [PlannedFault("the clock is wrong", name) for name in SERVICES]
    faults += [PlannedFault("one joins and leaves", name) for name in CONSUMERS]
    faults += [PlannedFault("is killed at a point", name, point) for name in SERVICES for point in FAULT_POINTS[name]]
    faults += [
        PlannedFault("is killed with a backlog", name, point) for name in CONSUMERS for point in _batch_points(name)
    ]
    faults += [PlannedFault("is paused at a point", name, point) for name in CONSUMERS for point in _batch_points(name)]
    faults += [PlannedFault(kind, store) for kind in ("is killed", "is stopped") for store in STORES]
    faults += [PlannedFault("both are killed", "kafka and mongodb"), PlannedFault("the disk is full", "mongodb")]
    faults += [PlannedFault(f"connections are {mode}", store) for mode in ("slow", "silent", "cut") for store in STORES]
    faults += [PlannedFault("is unavailable", receiver) for receiver in ("mail", "webhook")]
    faults += [PlannedFault(topic_fault, "topics") for topic_fault in ("poison", "duplicates", "out of order")]
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
