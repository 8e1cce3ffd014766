"""What one more fact costs, after few sessions and after many: `python -m tests.bench.fold`.

A live system must not become slower with the length of a therapy, so what counts is the ratio; the microseconds are
those of this machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time_ns
from uuid import UUID

from services.alliance.domain.fold import evolve, fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.store.stored_names import dump_alliance
from tests.support.builders import RelationshipBuilder

SESSION_COUNTS = (10, 100, 1_000)
SESSIONS_AHEAD = 20  # sessions that are taken in at a time
REPEATS = 25


@dataclass(frozen=True)
class Cost:
    """Of one relationship with so many sessions."""

    sessions: int
    microseconds_per_event: float
    """To take in one more fact: the median of the repeats."""
    state_bytes: int
    """Of the state as it is written to the database, in bytes."""


def relationship_events(builder: RelationshipBuilder, first: int, sessions: int) -> Iterator[HistoryEvent]:
    """Sessions from `first` on: ups and downs, ruptures, silence and absence, and both have their say."""
    for week in range(first, first + sessions):
        if week % 17 == 16:
            yield builder.missed(week)
            continue
        yield builder.completed(week)
        yield builder.feedback(week, 7 + week * 7 % 5 / 2, "clinician")
        if week % 11 == 10:
            yield builder.lapsed(week)
        else:
            rating = 4.0 if week % 29 == 28 else 7.5 + week * 3 % 6 / 2
            yield builder.feedback(week, rating, trust=max(0.0, rating - week % 4))


def state_after(sessions: int, builder: RelationshipBuilder) -> Alliance:
    """The alliance after so many sessions."""
    return fold(
        [builder.started(), builder.consent_changed(-0.5, given=True), *relationship_events(builder, 0, sessions)],
        DEFAULT_POLICY,
    )


def state_size_bytes(alliance: Alliance) -> int:
    """Of the state in bytes, as it is kept."""
    return len(dump_alliance(alliance))


def measure_costs(session_counts: Sequence[int] = SESSION_COUNTS, repeats: int = REPEATS) -> list[Cost]:
    """One of each length, measured in turns, so that a busy moment of the machine hits all alike."""
    builder = RelationshipBuilder(UUID("6f1de7f1-3f0c-4a39-9d39-7a6a9a4f7a10"))
    states = {sessions: state_after(sessions, builder) for sessions in session_counts}
    next_events = {
        sessions: list(relationship_events(builder, sessions, SESSIONS_AHEAD)) for sessions in session_counts
    }
    timings: dict[int, list[float]] = {sessions: [] for sessions in session_counts}
    for _ in range(repeats):
        for sessions in session_counts:
            timings[sessions].append(_microseconds(states[sessions], next_events[sessions]))
    return [
        Cost(sessions, median(timings[sessions]), state_size_bytes(states[sessions])) for sessions in session_counts
    ]


def _microseconds(alliance: Alliance, events: Sequence[HistoryEvent]) -> float:
    """For one fact, of the time that this thread itself had."""
    start_ns = thread_time_ns()
    for event in events:
        alliance = evolve(alliance, event, DEFAULT_POLICY)
    return (thread_time_ns() - start_ns) / 1_000 / len(events)


def main() -> None:
    costs = measure_costs()
    shortest = costs[0]
    print("| sessions | µs per fact | ratio | state, bytes | ratio |\n|--:|--:|--:|--:|--:|")  # noqa: T201 - a command
    for cost in costs:
        time_ratio, size_ratio = (
            cost.microseconds_per_event / shortest.microseconds_per_event,
            cost.state_bytes / shortest.state_bytes,
        )
        row = f"| {cost.sessions:,} | {cost.microseconds_per_event:.0f} | {time_ratio:.2f} | {cost.state_bytes:,} | {size_ratio:.2f} |"
        print(row)  # noqa: T201


if __name__ == "__main__":
    main()
