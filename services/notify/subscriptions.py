"""Which topics the notify service hears, and what it tells."""

from services.notify.handlers import Alerting
from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    AllianceUpdated,
    ClientErased,
    ClinicianRegistered,
    ClinicianUpdated,
    Event,
    RelationshipEnded,
    RelationshipStarted,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
    SessionCancelled,
    SessionScheduled,
)
from shared.events.topics import ALLIANCE, INTAKE, SESSIONS
from shared.kafka import Kafka

HEARS: tuple[type[Event], ...] = (
    ClinicianRegistered,
    ClinicianUpdated,
    RelationshipStarted,
    RelationshipEnded,
    ClientErased,
    SessionScheduled,
    SessionCancelled,
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
)
TELLS: tuple[type[Event], ...] = (AlertRaised, AlertAcknowledged, AlertResolved)


def subscribe(kafka: Kafka, projector: Alerting) -> None:
    """Say what we do about each topic."""
    kafka.hear(INTAKE, SESSIONS, ALLIANCE, kinds=HEARS, batch=projector)
