"""The cost of one more event, after few sessions and after many: `python -m tests.bench.fold`.

A live system must not become slower with the length of a therapy, so the ratio counts; the microseconds are those of
this machine.
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
SESSIONS_AHEAD = 20  # sessions that are folded in one measurement
REPEATS = 25


@dataclass(frozen=True)
class Cost:
    """The cost of one relationship with this many sessions."""

    sessions: int
    microseconds_per_event: float
    """To fold one more event: the median of the repeats."""
    state_bytes: int
    """The size of the state in the database."""


def relationship_events(builder: RelationshipBuilder, first: int, sessions: int) -> Iterator[HistoryEvent]:
    """Sessions from `first` on, rated by both: ups and downs, ruptures, silence and absence."""
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
    """The alliance after this many sessions."""
    return fold(
        [builder.started(), builder.consent_changed(-0.5, given=True), *relationship_events(builder, 0, sessions)],
        DEFAULT_POLICY,
    )


def state_size_bytes(alliance: Alliance) -> int:
    """The size of the state in the database."""
    return len(dump_alliance(alliance))


def measure_costs(session_counts: Sequence[int] = SESSION_COUNTS, repeats: int = REPEATS) -> list[Cost]:
    """The cost at each length, measured in turns, so that a busy moment of the machine affects all of them."""
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
    """Per event, in CPU time of this thread."""
    start_ns = thread_time_ns()
    for event in events:
        alliance = evolve(alliance, event, DEFAULT_POLICY)
    return (thread_time_ns() - start_ns) / 1_000 / len(events)


def main() -> None:
    costs = measure_costs()
    shortest = costs[0]
    print("| sessions | µs per event | ratio | state, bytes | ratio |\n|--:|--:|--:|--:|--:|")  # noqa: T201 - a command
    for cost in costs:
        time_ratio = cost.microseconds_per_event / shortest.microseconds_per_event
        size_ratio = cost.state_bytes / shortest.state_bytes
        time_columns = f"{cost.microseconds_per_event:.0f} | {time_ratio:.2f}"
        size_columns = f"{cost.state_bytes:,} | {size_ratio:.2f}"
        print(f"| {cost.sessions:,} | {time_columns} | {size_columns} |")  # noqa: T201


if __name__ == "__main__":
    main()
