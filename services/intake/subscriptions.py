"""What we tell; intake is where the news begins, so it hears nothing."""

from shared.events import (
    ClinicianRegistered,
    ClinicianUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
)

CONSUMED_EVENTS: tuple[type[Event], ...] = ()
PUBLISHED_EVENTS: tuple[type[Event], ...] = (
    ClinicianRegistered,
    ClinicianUpdated,
    RelationshipStarted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    ConsentGiven,
    ConsentWithdrawn,
)
