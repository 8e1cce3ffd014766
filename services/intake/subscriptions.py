"""The events that intake publishes. It consumes none, because every relationship starts here."""

from shared.events import (
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
    ClinicianRegistered,
    ClinicianUpdated,
    RelationshipStarted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipReopened,
    ConsentGiven,
    ConsentWithdrawn,
)
