"""What we hear of relationships, what we do about it, and what we tell."""

from collections.abc import Sequence
from functools import partial, reduce
from itertools import groupby

from services.sessions.domain.relationship import Relationship, learn
from services.sessions.store import Store
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


async def hear(events: Sequence[Event], store: Store) -> None:
    """Learn of relationships, and forget the sessions of clients who are to be forgotten. Safe to repeat."""
    by_key = sorted(events, key=lambda event: event.key)
    told = {key: list(of_key) for key, of_key in groupby(by_key, key=lambda event: event.key)}

    def brought_up_to_date(known: Relationship) -> Relationship:
        return reduce(learn, told[known.relationship_id], known)

    await store.learn(told.keys(), brought_up_to_date)
    erased = {event.key for event in events if isinstance(event, ClientErased)}
    if erased:
        await store.forget(erased)
