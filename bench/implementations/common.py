"""What all implementations do with an event: the service's own code, so that only what is around it differs."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import fold_forward, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent
from services.alliance.store.protocol import VersionedState
from shared.events import by_type
from shared.events.cloudevents import decode, encode
from shared.events.topics import ALERTS, FEEDBACK, INTAKE, SESSIONS

BOOTSTRAP_SERVERS, MONGODB_URI, DATABASE = (
    os.environ.get(n, "") for n in ("KAFKA_BOOTSTRAP_SERVERS", "MONGODB_URI", "DATABASE")
)
GROUP = "alliance"
TOPICS = tuple(topic.name for topic in (INTAKE, SESSIONS, FEEDBACK, ALERTS))
EVENT_TYPES = by_type(HISTORY_EVENTS)
BATCH_SIZE = 2_000

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to publish, with one derived event."""

    topic: str
    key: bytes
    value: bytes


def decode_events(messages: Iterable[bytes | None]) -> list[HistoryEvent]:
    """Decode the messages; those of other event types are left out."""
    events = (decode(message, EVENT_TYPES) for message in messages)
    return [event for event in events if event is not None]


def group_by_relationship(events: Iterable[HistoryEvent]) -> dict[UUID, list[HistoryEvent]]:
    grouped: defaultdict[UUID, list[HistoryEvent]] = defaultdict(list)
    for event in events:
        grouped[event.relationship_id].append(event)
    return grouped


def event_document(event: HistoryEvent) -> Document:
    return {"_id": event.id, "r": event.relationship_id, "event": encode(event)}


def has_late_events(state: VersionedState, new_events: Sequence[HistoryEvent]) -> bool:
    """Whether an event is older than the state, so that the whole history must be folded again."""
    return not all(state.alliance.precedes(event) for event in new_events)


def fold_new_events(state: VersionedState, new_events: Sequence[HistoryEvent]) -> VersionedState:
    return state.advance(fold_forward(state.alliance, new_events, DEFAULT_POLICY))


def refold_history(state: VersionedState, history: Iterable[Document]) -> VersionedState:
    return state.advance(refold(decode_events(document["event"] for document in history), DEFAULT_POLICY))


def derived_messages(state: VersionedState) -> list[Message]:
    events = derive_events(state.relationship, state.result, state.version, DEFAULT_POLICY)
    return [Message(event.TOPIC.name, str(event.key).encode(), encode(event)) for event in events]
