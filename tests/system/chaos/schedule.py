"""Which faults come when: drawn from a seed, so that a run can be repeated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.system.chaos.fault_points import FAULT_POINTS
from tools.sandbox.servers.stack import SERVICES

CONSUMERS = ("sessions", "alliance", "notify")
STORES = ("kafka", "mongodb")
SEND_POINTS = ("after an e-mail", "after a webhook")
MAX_FAULTS_PER_ROUND = 3  # faults of one round, at most; each hits something else


@dataclass(frozen=True)
class PlannedFault:
    """A fault that is going to happen."""

    kind: str
    target: str
    """A service, a store, a receiver or the topics."""
    fault_point: str = ""
    """The moment in a batch or a write, where it is hit exactly."""


def all_faults() -> list[PlannedFault]:
    """Everything that can be done to the system, once."""
    faults = [
        PlannedFault(kind, name) for kind in ("one is killed", "all are killed", "one is ended") for name in SERVICES
    ]
    faults += [PlannedFault("one stands still", name) for name in SERVICES]
    faults += [PlannedFault("the clock is wrong", name) for name in SERVICES]
    faults += [PlannedFault("one joins and leaves", name) for name in CONSUMERS]
    faults += [PlannedFault("dies at a point", name, point) for name in SERVICES for point in FAULT_POINTS[name]]
    faults += [PlannedFault("dies with a backlog", name, point) for name in CONSUMERS for point in _batch_points(name)]
    faults += [
        PlannedFault("stands still at a point", name, point) for name in CONSUMERS for point in _batch_points(name)
    ]
    faults += [PlannedFault(kind, store) for kind in ("is killed", "is ended") for store in STORES]
    faults += [PlannedFault("both are killed", "kafka and mongodb"), PlannedFault("the disk is full", "mongodb")]
    faults += [PlannedFault(f"connections are {mode}", store) for mode in ("slow", "silent", "cut") for store in STORES]
    faults += [PlannedFault("is away", receiver) for receiver in ("mail", "webhook")]
    faults += [PlannedFault(topic_fault, "topics") for topic_fault in ("poison", "copies", "out of order")]
    return faults


def long_schedule(seed: int) -> Iterator[Sequence[PlannedFault]]:
    """Rounds without end: all faults in a new order each time, one to three together."""
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
    """The cruellest few, and what each deliberate defect would do harm at."""
    random = Random(seed)
    yield (
        PlannedFault("poison", "topics"),
        PlannedFault("dies at a point", "intake", "before publishing"),
        PlannedFault("dies at a point", "sessions", random.choice(("before publishing", "after the write"))),
        PlannedFault("the clock is wrong", "notify"),
    )
    yield (
        PlannedFault("copies", "topics"),
        PlannedFault("stands still at a point", "alliance", "after loading"),
        PlannedFault("dies at a point", "notify", random.choice(SEND_POINTS)),
        PlannedFault("dies with a backlog", "sessions", "after the relationships"),
    )
    yield (PlannedFault("both are killed", "kafka and mongodb"),)
    yield (
        PlannedFault("out of order", "topics"),
        PlannedFault("dies with a backlog", "notify", random.choice(("after the alerts", "after planning deliveries"))),
        PlannedFault("connections are cut", "mongodb"),
    )


FINAL_FAULT = PlannedFault("dies at each step with the last of it", "alliance")
"""The end of every run. A state that was not told is told with the next fact all the same; after these comes none."""
FINAL_FAULT_POINTS = ("after the events", "after the states", "after the commit")


def _batch_points(name: str) -> list[str]:
    return [point for point in FAULT_POINTS[name] if point not in (*SEND_POINTS, *WRITE_POINTS.get(name, ()))]


WRITE_POINTS: Mapping[str, Sequence[str]] = {"sessions": ("after the write", "before publishing", "after publishing")}
"""Points of an HTTP write, not of a batch."""
