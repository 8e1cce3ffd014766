"""What all contestants do with a fact, taken from our service, so that only the way to it differs."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from services.alliance.domain.derived_events import what_follows
from services.alliance.domain.fold import read_again, read_on
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.state.history import FACTS, Fact
from services.alliance.store.mongo import Kept
from shared.events import by_name
from shared.events.cloudevents import decode, encode
from shared.events.topics import ALERTS, FEEDBACK, INTAKE, SESSIONS

KAFKA, MONGODB, DATABASE = (os.environ.get(n, "") for n in ("KAFKA_BOOTSTRAP_SERVERS", "MONGODB_URI", "DATABASE"))
GROUP = "alliance"
TOPICS = tuple(topic.name for topic in (INTAKE, SESSIONS, FEEDBACK, ALERTS))
KINDS = by_name(FACTS)
BATCH = 2_000

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class News:
    """One message that follows."""

    topic: str
    key: bytes
    value: bytes


def read(messages: Iterable[bytes | None]) -> list[Fact]:
    """The facts in these messages."""
    return [cast("Fact", event) for event in (decode(message, KINDS) for message in messages) if event is not None]


def by_relationship(facts: Iterable[Fact]) -> dict[UUID, list[Fact]]:
    grouped: defaultdict[UUID, list[Fact]] = defaultdict(list)
    for event in facts:
        grouped[event.relationship_id].append(event)
    return grouped


def fact_document(event: Fact) -> Document:
    return {"_id": event.id, "r": event.relationship_id, "event": encode(event)}


def is_late(kept: Kept, new: Sequence[Fact]) -> bool:
    """Whether the whole history has to be read again."""
    return not all(kept.alliance.precedes(event) for event in new)


def took_in(kept: Kept, new: Sequence[Fact]) -> Kept:
    return kept.followed_by(read_on(kept.alliance, new, DEFAULT))


def read_anew(kept: Kept, history: Iterable[Document]) -> Kept:
    return kept.followed_by(read_again(read(document["event"] for document in history), DEFAULT))


def news_of(kept: Kept) -> list[News]:
    events = what_follows(kept.relationship, kept.read, kept.version, DEFAULT)
    return [News(event.TOPIC.name, str(event.key).encode(), encode(event)) for event in events]
