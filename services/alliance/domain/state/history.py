"""What an alliance is made of: the facts that move it, and the order in which they happened."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from shared.events import (
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipEvent,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)

HistoryEvent: TypeAlias = (
    RelationshipStarted
    | ConsentGiven
    | ConsentWithdrawn
    | RelationshipAimsUpdated
    | SessionCompleted
    | SessionMissed
    | SessionCancelled
    | FeedbackSubmitted
    | FeedbackAmended
    | FeedbackLapsed
    | RelationshipEnded
    | ClientErased
)

HISTORY_EVENTS: tuple[type[RelationshipEvent], ...] = (
    # In this order where several happened at the same moment: one is asked about a session after it was held.
    RelationshipStarted,
    ConsentGiven,
    ConsentWithdrawn,
    RelationshipAimsUpdated,
    SessionCompleted,
    SessionMissed,
    SessionCancelled,
    FeedbackSubmitted,
    FeedbackAmended,
    FeedbackLapsed,
    RelationshipEnded,
    ClientErased,
)
FEEDBACK_EVENTS = (FeedbackSubmitted, FeedbackAmended)
_RANK = {kind: rank for rank, kind in enumerate(HISTORY_EVENTS)}

SortKey: TypeAlias = tuple[datetime, int, UUID]


def sort_key(event: HistoryEvent) -> SortKey:
    """Where a fact stands in the order of the world; no two facts stand in the same place."""
    return event.occurred_at, _RANK[type(event)], event.id


def sort_events(events: Iterable[HistoryEvent]) -> list[HistoryEvent]:
    """Each fact once, in the order in which they happened."""
    return sorted({event.id: event for event in events}.values(), key=sort_key)


def apply_amendments(sorted_events: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    """The facts with every answer as it was last amended, standing where it was first given."""
    amendments = {event.amends: event for event in sorted_events if isinstance(event, FeedbackAmended)}
    return [
        _amend(event, amendments[event.id])
        if isinstance(event, FeedbackSubmitted) and event.id in amendments
        else event
        for event in sorted_events
        if not isinstance(event, FeedbackAmended)
    ]


def _amend(original: FeedbackSubmitted, amendment: FeedbackAmended) -> FeedbackSubmitted:
    amended_fields = {"ratings", "instrument", "tension", "talked_about", "outcome", "recorded_at"}
    return original.model_copy(update={name: getattr(amendment, name) for name in amended_fields})


def clinic_of(events: Iterable[HistoryEvent], default: UUID | None = None) -> UUID | None:
    """The clinic of the relationship that `facts` are about; `known` where they do not say it."""
    started = _find_start(events)
    return started.clinic_id if started else default


def clinician_of(events: Iterable[HistoryEvent]) -> UUID | None:
    """The clinician of the relationship that `facts` are about."""
    started = _find_start(events)
    return started.clinician_id if started else None


def _find_start(events: Iterable[HistoryEvent]) -> RelationshipStarted | None:
    return max((event for event in events if isinstance(event, RelationshipStarted)), key=sort_key, default=None)
