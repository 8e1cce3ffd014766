"""Which faults come when: drawn from a seed, so that a run can be repeated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from tests.system.chaos.fault_points import POINTS
from tools.sandbox.servers.stack import SERVICES

CONSUMERS = ("sessions", "alliance", "notify")
STORES = ("kafka", "mongodb")
SENDING = ("after an e-mail", "after a webhook")
AT_ONCE = 3  # faults of one round, at most; each hits something else


@dataclass(frozen=True)
class Planned:
    """A fault that is going to happen."""

    kind: str
    target: str
    """A service, a store, a receiver or the topics."""
    point: str = ""
    """The moment in a batch or a write, where it is hit exactly."""


def faults() -> list[Planned]:
    """Everything that can be done to the system, once."""
    found = [Planned(kind, name) for kind in ("one is killed", "all are killed", "one is ended") for name in SERVICES]
    found += [Planned("one stands still", name) for name in SERVICES]
    found += [Planned("the clock is wrong", name) for name in SERVICES]
    found += [Planned("one joins and leaves", name) for name in CONSUMERS]
    found += [Planned("dies at a point", name, point) for name in SERVICES for point in POINTS[name]]
    found += [Planned("dies with a backlog", name, point) for name in CONSUMERS for point in _of_a_batch(name)]
    found += [Planned("stands still at a point", name, point) for name in CONSUMERS for point in _of_a_batch(name)]
    found += [Planned(kind, store) for kind in ("is killed", "is ended") for store in STORES]
    found += [Planned("both are killed", "kafka and mongodb"), Planned("the disk is full", "mongodb")]
    found += [Planned(f"connections are {mode}", store) for mode in ("slow", "silent", "cut") for store in STORES]
    found += [Planned("is away", receiver) for receiver in ("mail", "webhook")]
    found += [Planned(topic_fault, "topics") for topic_fault in ("poison", "copies", "out of order")]
    return found


def long(seed: int) -> Iterator[Sequence[Planned]]:
    """Rounds without end: all faults in a new order each time, one to three together."""
    random = Random(seed)
    while True:
        remaining = random.sample(every_fault := faults(), len(every_fault))
        while remaining:
            fault_round = [remaining.pop()]
            for _ in range(random.randrange(AT_ONCE)):
                targets = {part for fault in fault_round for part in fault.target.split(" and ")}
                next_fault = next(
                    (candidate for candidate in remaining if not targets & set(candidate.target.split(" and "))), None
                )
                if next_fault is not None:
                    remaining.remove(next_fault)
                    fault_round.append(next_fault)
            yield fault_round


def short(seed: int) -> Iterator[Sequence[Planned]]:
    """The cruellest few, and what each deliberate defect would do harm at."""
    random = Random(seed)
    yield (
        Planned("poison", "topics"),
        Planned("dies at a point", "intake", "before telling"),
        Planned("dies at a point", "sessions", random.choice(("before telling", "after the write"))),
        Planned("the clock is wrong", "notify"),
    )
    yield (
        Planned("copies", "topics"),
        Planned("stands still at a point", "alliance", "after reading"),
        Planned("dies at a point", "notify", random.choice(SENDING)),
        Planned("dies with a backlog", "sessions", "after learning"),
    )
    yield (Planned("both are killed", "kafka and mongodb"),)
    yield (
        Planned("out of order", "topics"),
        Planned("dies with a backlog", "notify", random.choice(("after the alerts", "after owing"))),
        Planned("connections are cut", "mongodb"),
    )


LAST = Planned("dies at each step with the last of it", "alliance")
"""The end of every run. A state that was not told is told with the next fact all the same; after these comes none."""
LAST_STEPS = ("after the facts", "after the states", "after the commit")


def _of_a_batch(name: str) -> list[str]:
    return [point for point in POINTS[name] if point not in (*SENDING, *WRITES.get(name, ()))]


WRITES: Mapping[str, Sequence[str]] = {"sessions": ("after the write", "before telling", "after telling")}
"""Points of an HTTP write, not of a batch."""
