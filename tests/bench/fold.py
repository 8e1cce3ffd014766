"""The cost of one more event, and of a late one, after few sessions and after many: `python -m tests.bench.fold`.

A live system must not become slower with the length of a therapy, so the ratio counts; the microseconds are those of
this machine. A late event folds the whole history again, at a cost that is linear in its length.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time_ns
from typing import Literal, get_args
from uuid import UUID

from services.alliance.domain.fold import evolve, fold, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.store.stored_names import dump_alliance
from tests.support.builders import RelationshipBuilder

SESSION_COUNTS = (10, 100, 1_000)
SESSIONS_AHEAD = 20  # sessions that are folded in one measurement
REPEATS = 25
REFOLDED_SESSION_COUNTS = (100, 1_000, 2_000)
AMENDMENTS = 8  # as many as a refold checks for retracted episodes
REFOLD_REPEATS = 3

Amended = Literal["nothing", "the latest answers", "old answers"]
AMENDED: tuple[Amended, ...] = get_args(Amended)


@dataclass(frozen=True)
class Cost:
    """The cost of one relationship with this many sessions."""

    sessions: int
    microseconds_per_event: float
    """To fold one more event: the median of the repeats."""
    state_bytes: int
    """The size of the state in the database."""


@dataclass(frozen=True)
class RefoldCost:
    """The cost to fold the whole history of one relationship again."""

    sessions: int
    amended: Amended
    events: int
    milliseconds: float

    @property
    def microseconds_per_event(self) -> float:
        return self.milliseconds * 1_000 / self.events


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


def amended_history(sessions: int, amended: Amended, builder: RelationshipBuilder) -> list[HistoryEvent]:
    """A history with eight amended answers: the latest, each after a day, or some from the whole time, at its end."""
    history = [builder.started(), builder.consent_changed(-0.5, given=True), *relationship_events(builder, 0, sessions)]
    answered = [week for week in range(sessions) if week % 17 != 16 and week % 11 != 10]
    if amended == "the latest answers":
        history += [builder.amended(week, 9) for week in answered[-AMENDMENTS:]]
    elif amended == "old answers":
        spread = answered[:: len(answered) // AMENDMENTS][:AMENDMENTS]
        history += [builder.amended(week, 9, days_later=7 * (sessions - week) + week / sessions) for week in spread]
    return history


def measure_refolds(
    session_counts: Sequence[int] = REFOLDED_SESSION_COUNTS, repeats: int = REFOLD_REPEATS
) -> list[RefoldCost]:
    """The cost of a refold at each length, measured in turns."""
    builder = RelationshipBuilder(UUID("6f1de7f1-3f0c-4a39-9d39-7a6a9a4f7a10"))
    histories = {(count, a): amended_history(count, a, builder) for count in session_counts for a in AMENDED}
    timings: dict[tuple[int, Amended], list[float]] = {key: [] for key in histories}
    for _ in range(repeats):
        for key, history in histories.items():
            start_ns = thread_time_ns()
            refold(history, DEFAULT_POLICY)
            timings[key].append((thread_time_ns() - start_ns) / 1e6)
    return [RefoldCost(*key, len(history), median(timings[key])) for key, history in histories.items()]


def _microseconds(alliance: Alliance, events: Sequence[HistoryEvent]) -> float:
    """Per event, in CPU time of this thread."""
    start_ns = thread_time_ns()
    for event in events:
        alliance = evolve(alliance, event, DEFAULT_POLICY)
    return (thread_time_ns() - start_ns) / 1_000 / len(events)


def main() -> None:
    _print_costs(measure_costs())
    print("\n| sessions | amended | events | ms | µs per event |\n|--:|--|--:|--:|--:|")  # noqa: T201
    for cost in measure_refolds():
        time_columns = f"{cost.milliseconds:,.0f} | {cost.microseconds_per_event:.0f}"
        print(f"| {cost.sessions:,} | {cost.amended} | {cost.events:,} | {time_columns} |")  # noqa: T201


def _print_costs(costs: Sequence[Cost]) -> None:
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
