"""The events that sessions consumes and publishes."""

from functools import partial

from services.sessions.handlers import handle_batch
from services.sessions.store.protocol import Store
from shared.events import (
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

CONSUMED_EVENTS: tuple[type[Event], ...] = (
    ClinicUpdated,
    RelationshipStarted,
    RelationshipEnded,
    RelationshipReopened,
    ConsentGiven,
    ConsentWithdrawn,
    ClientErased,
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


def subscribe(kafka: Kafka, store: Store) -> None:
    """Subscribe the handler to its topic."""
    kafka.subscribe(topics.INTAKE, event_types=CONSUMED_EVENTS, handler=partial(handle_batch, store=store))
