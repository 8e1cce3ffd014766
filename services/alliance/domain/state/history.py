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

Fact: TypeAlias = (
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

FACTS: tuple[type[RelationshipEvent], ...] = (
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
ANSWERS = (FeedbackSubmitted, FeedbackAmended)
_RANK = {kind: rank for rank, kind in enumerate(FACTS)}

Happened: TypeAlias = tuple[datetime, int, UUID]


def happened(event: Fact) -> Happened:
    """Where a fact stands in the order of the world; no two facts stand in the same place."""
    return event.occurred_at, _RANK[type(event)], event.id


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Each fact once, in the order in which they happened."""
    return sorted({event.id: event for event in facts}.values(), key=happened)


def as_amended(ordered: Sequence[Fact]) -> list[Fact]:
    """The facts with every answer as it was last amended, standing where it was first given."""
    amendments = {event.amends: event for event in ordered if isinstance(event, FeedbackAmended)}
    return [
        _corrected(event, amendments[event.id])
        if isinstance(event, FeedbackSubmitted) and event.id in amendments
        else event
        for event in ordered
        if not isinstance(event, FeedbackAmended)
    ]


def _corrected(first: FeedbackSubmitted, last: FeedbackAmended) -> FeedbackSubmitted:
    amended_fields = {"ratings", "instrument", "tension", "talked_about", "outcome", "recorded_at"}
    return first.model_copy(update={name: getattr(last, name) for name in amended_fields})


def clinic_of(facts: Iterable[Fact], known: UUID | None = None) -> UUID | None:
    """The clinic of the relationship that `facts` are about; `known` where they do not say it."""
    started = _start(facts)
    return started.clinic_id if started else known


def clinician_of(facts: Iterable[Fact]) -> UUID | None:
    """The clinician of the relationship that `facts` are about."""
    started = _start(facts)
    return started.clinician_id if started else None


def _start(facts: Iterable[Fact]) -> RelationshipStarted | None:
    return max((event for event in facts if isinstance(event, RelationshipStarted)), key=happened, default=None)
