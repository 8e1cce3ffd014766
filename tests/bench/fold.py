"""What one more fact costs, after few sessions and after many: `python -m tests.bench.fold`.

A live system must not become slower with the length of a therapy, so what counts is the ratio; the microseconds are
those of this machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time_ns
from uuid import UUID

from pydantic import TypeAdapter

from services.alliance.domain.fold import evolve, fold
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import Fact
from tests.support.builders import Told

LENGTHS = (10, 100, 1_000)
AHEAD = 20  # sessions that are taken in at a time
REPEATS = 25

_STATE = TypeAdapter(Alliance)


@dataclass(frozen=True)
class Cost:
    """Of one relationship with so many sessions."""

    sessions: int
    microseconds: float
    """To take in one more fact: the median of the repeats."""
    size: int
    """Of the state as it is written to the database, in bytes."""


def life(told: Told, first: int, sessions: int) -> Iterator[Fact]:
    """Sessions from `first` on: ups and downs, ruptures, silence and absence, and both have their say."""
    for week in range(first, first + sessions):
        if week % 17 == 16:
            yield told.missed(week)
            continue
        yield told.held(week)
        yield told.felt(week, 7 + week * 7 % 5 / 2, "clinician")
        if week % 11 == 10:
            yield told.lapsed(week)
        else:
            rating = 4.0 if week % 29 == 28 else 7.5 + week * 3 % 6 / 2
            yield told.felt(week, rating, trust=max(0.0, rating - week % 4))


def state_after(sessions: int, told: Told) -> Alliance:
    """The alliance after so many sessions."""
    return fold([told.started(), told.consent(-0.5, given=True), *life(told, 0, sessions)], DEFAULT)


def size(alliance: Alliance) -> int:
    """Of the state in bytes, as it is kept."""
    return len(_STATE.dump_json(alliance, exclude_defaults=True))


def costs(session_counts: Sequence[int] = LENGTHS, repeats: int = REPEATS) -> list[Cost]:
    """One of each length, measured in turns, so that a busy moment of the machine hits all alike."""
    builder = Told(UUID("6f1de7f1-3f0c-4a39-9d39-7a6a9a4f7a10"))
    states = {sessions: state_after(sessions, builder) for sessions in session_counts}
    next_events = {sessions: list(life(builder, sessions, AHEAD)) for sessions in session_counts}
    timings: dict[int, list[float]] = {sessions: [] for sessions in session_counts}
    for _ in range(repeats):
        for sessions in session_counts:
            timings[sessions].append(_microseconds(states[sessions], next_events[sessions]))
    return [Cost(sessions, median(timings[sessions]), size(states[sessions])) for sessions in session_counts]


def _microseconds(alliance: Alliance, facts: Sequence[Fact]) -> float:
    """For one fact, of the time that this thread itself had."""
    start_ns = thread_time_ns()
    for event in facts:
        alliance = evolve(alliance, event, DEFAULT)
    return (thread_time_ns() - start_ns) / 1_000 / len(facts)


def main() -> None:
    measured = costs()
    shortest = measured[0]
    print("| sessions | µs per fact | ratio | state, bytes | ratio |\n|--:|--:|--:|--:|--:|")  # noqa: T201 - a command
    for cost in measured:
        time_ratio, size_ratio = cost.microseconds / shortest.microseconds, cost.size / shortest.size
        row = f"| {cost.sessions:,} | {cost.microseconds:.0f} | {time_ratio:.2f} | {cost.size:,} | {size_ratio:.2f} |"
        print(row)  # noqa: T201


if __name__ == "__main__":
    main()
