"""The events that sessions consumes and publishes."""

from functools import partial

from services.sessions.handlers import handle_batch
from services.sessions.store.protocol import Store
from shared.events import (
    STAFF_EVENTS,
    ClientErased,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionReinstated,
    SessionScheduled,
    topics,
)
from shared.kafka import Kafka
from shared.staff.cache import CachedStaff
from shared.staff.handlers import with_staff
from shared.staff.store import StaffStore

CONSUMED_EVENTS: tuple[type[Event], ...] = (
    ClinicUpdated,
    RelationshipStarted,
    RelationshipEnded,
    RelationshipReopened,
    ConsentGiven,
    ConsentWithdrawn,
    ClientErased,
    *STAFF_EVENTS,
)
PUBLISHED_EVENTS: tuple[type[Event], ...] = (
    SessionScheduled,
    SessionCompleted,
    SessionMissed,
    SessionCancelled,
    SessionReinstated,
    FeedbackRequested,
    FeedbackSubmitted,
    FeedbackAmended,
    FeedbackLapsed,
)


def subscribe(kafka: Kafka, store: Store, staff_store: StaffStore, staff: CachedStaff) -> None:
    """Subscribe the handlers to their topic."""
    handler = with_staff(partial(handle_batch, store=store), staff_store, staff)
    kafka.subscribe(topics.INTAKE, event_types=CONSUMED_EVENTS, handler=handler)
