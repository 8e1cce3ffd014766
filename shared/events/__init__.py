"""Every event that travels between the services, in one place.

An event is named in the past tense, is small and complete for its consumers, and carries no identity and no free text:
only ids, numbers, codes and times. What an organisation says about itself, such as a clinic's name, identifies nobody.
New fields have defaults. A new meaning is a new version, published next to the old.
"""

from shared.events.alerts import AlertAcknowledged, AlertRaised, AlertReopened, AlertResolved, DispositionKind
from shared.events.alliance import (
    AllianceUpdated,
    EpisodeEndReason,
    Evidence,
    LevelShift,
    RuptureChanged,
    RuptureEnded,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)
from shared.events.feedback import (
    Answer,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    InstrumentTotal,
)
from shared.events.intake import (
    Aim,
    ClientErased,
    ClinicianRegistered,
    ClinicianUpdated,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    EndReason,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    TelephoneNumber,
    TimeZone,
)
from shared.events.model import (
    CaseCode,
    CollectedBy,
    Correction,
    Count,
    Direction,
    Element,
    Event,
    EventT,
    Information,
    Rater,
    Rating,
    RelationshipEvent,
    Score,
    Severity,
    Standing,
    TalkedAbout,
    Tension,
    UtcDatetime,
)
from shared.events.sessions import (
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionReinstated,
    SessionScheduled,
)

EVENT_TYPES: tuple[type[Event], ...] = (
    ClinicUpdated,
    ClinicianRegistered,
    ClinicianUpdated,
    RelationshipStarted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipReopened,
    ConsentGiven,
    ConsentWithdrawn,
    ClientErased,
    SessionScheduled,
    SessionCompleted,
    SessionMissed,
    SessionCancelled,
    SessionReinstated,
    FeedbackRequested,
    FeedbackSubmitted,
    FeedbackAmended,
    FeedbackLapsed,
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
    RuptureEnded,
    AlertRaised,
    AlertAcknowledged,
    AlertResolved,
    AlertReopened,
)
"""Every type of event."""

__all__ = [
    "EVENT_TYPES",
    "Aim",
    "AlertAcknowledged",
    "AlertRaised",
    "AlertReopened",
    "AlertResolved",
    "AllianceUpdated",
    "Answer",
    "CaseCode",
    "ClientErased",
    "ClinicUpdated",
    "ClinicianRegistered",
    "ClinicianUpdated",
    "CollectedBy",
    "ConsentGiven",
    "ConsentWithdrawn",
    "Correction",
    "Count",
    "Direction",
    "DispositionKind",
    "Element",
    "EndReason",
    "EpisodeEndReason",
    "Event",
    "EventT",
    "Evidence",
    "FeedbackAmended",
    "FeedbackLapsed",
    "FeedbackRequested",
    "FeedbackSubmitted",
    "Information",
    "InstrumentTotal",
    "LevelShift",
    "Rater",
    "Rating",
    "RelationshipAimsUpdated",
    "RelationshipEnded",
    "RelationshipEvent",
    "RelationshipReopened",
    "RelationshipStarted",
    "RuptureChanged",
    "RuptureEnded",
    "RuptureEvent",
    "RuptureRepaired",
    "RuptureRetracted",
    "RuptureSuspected",
    "Score",
    "SessionCancelled",
    "SessionCompleted",
    "SessionMissed",
    "SessionReinstated",
    "SessionScheduled",
    "Severity",
    "Standing",
    "TalkedAbout",
    "TelephoneNumber",
    "Tension",
    "TimeZone",
    "UtcDatetime",
    "by_type",
    "event_types_published_by",
]


def by_type(event_types: tuple[type[EventT], ...]) -> dict[str, type[EventT]]:
    """The event types by their CloudEvents type."""
    return {event_type.event_type(): event_type for event_type in event_types}


def event_types_published_by(service: str) -> tuple[str, ...]:
    """The CloudEvents types of the events that a service publishes."""
    return tuple(e.event_type() for e in EVENT_TYPES if e.TOPIC.publisher == service)
