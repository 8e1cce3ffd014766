"""Which events the notify service consumes and publishes."""

from services.notify.handlers import AlertProjector
from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertReopened,
    AlertResolved,
    AllianceUpdated,
    ClientErased,
    ClinicianRegistered,
    ClinicianUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    RuptureChanged,
    RuptureEnded,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
    SessionCancelled,
    SessionReinstated,
    SessionScheduled,
)
from shared.events.topics import ALLIANCE, INTAKE, SESSIONS
from shared.kafka import Kafka

CONSUMED_EVENTS: tuple[type[Event], ...] = (
    ClinicianRegistered,
    ClinicianUpdated,
    RelationshipStarted,
    RelationshipEnded,
    RelationshipReopened,
    ConsentGiven,
    ConsentWithdrawn,
    ClientErased,
    SessionScheduled,
    SessionCancelled,
    SessionReinstated,
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
    RuptureEnded,
)
PUBLISHED_EVENTS: tuple[type[Event], ...] = (AlertRaised, AlertAcknowledged, AlertResolved, AlertReopened)


def subscribe(kafka: Kafka, projector: AlertProjector) -> None:
    """Subscribe the handler to the topics."""
    kafka.subscribe(INTAKE, SESSIONS, ALLIANCE, event_types=CONSUMED_EVENTS, handler=projector.handle_batch)
