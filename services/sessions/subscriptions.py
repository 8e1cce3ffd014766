"""What we hear of relationships, what we do about it, and what we tell."""

from functools import partial

from services.sessions.handlers import hear
from services.sessions.store.mongo import Store
from shared.events import (
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
    topics,
)
from shared.kafka import Kafka

HEARS: tuple[type[Event], ...] = (
    RelationshipStarted,
    RelationshipEnded,
    ConsentGiven,
    ConsentWithdrawn,
    ClientErased,
)
TELLS: tuple[type[Event], ...] = (
    SessionScheduled,
    SessionCompleted,
    SessionMissed,
    SessionCancelled,
    FeedbackRequested,
    FeedbackSubmitted,
    FeedbackAmended,
    FeedbackLapsed,
)


def subscribe(kafka: Kafka, store: Store) -> None:
    """Say what we do about each topic."""
    kafka.hear(topics.INTAKE, kinds=HEARS, batch=partial(hear, store=store))
