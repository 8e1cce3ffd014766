"""Which events the notify service consumes and publishes."""

from services.notify.handlers import AlertProjector
from shared.events import (
    STAFF_EVENTS,
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
from shared.staff.cache import CachedStaff
from shared.staff.handlers import with_staff
from shared.staff.store import StaffStore

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
    *STAFF_EVENTS,
)
PUBLISHED_EVENTS: tuple[type[Event], ...] = (AlertRaised, AlertAcknowledged, AlertResolved, AlertReopened)


def subscribe(kafka: Kafka, projector: AlertProjector, staff_store: StaffStore, staff: CachedStaff) -> None:
    """Subscribe the handlers to the topics."""
    handler = with_staff(projector.handle_batch, staff_store, staff)
    kafka.subscribe(INTAKE, SESSIONS, ALLIANCE, event_types=CONSUMED_EVENTS, handler=handler)
