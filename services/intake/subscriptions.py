"""The events that intake publishes. It consumes none, because every relationship starts here."""

from shared.events import (
    STAFF_EVENTS,
    ClinicianRegistered,
    ClinicianUpdated,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
)

CONSUMED_EVENTS: tuple[type[Event], ...] = ()
PUBLISHED_EVENTS: tuple[type[Event], ...] = (
    ClinicUpdated,
    *STAFF_EVENTS,
    ClinicianRegistered,
    ClinicianUpdated,
    RelationshipStarted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipReopened,
    ConsentGiven,
    ConsentWithdrawn,
)
