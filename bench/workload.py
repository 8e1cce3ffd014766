"""The work: a clinic network with some weeks behind it, and the facts of the week that comes next.

Every relationship has one session in that week, so hardly two facts of one relationship come in the same batch. The
facts are told in the order in which they happened, as services tell them that are not behind.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from itertools import chain
from multiprocessing import get_context
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from aiokafka import AIOKafkaProducer
from pymongo import MongoClient

from evaluation import generator
from evaluation.events import BEGINNING, facts_of
from evaluation.relationships import Seen, together
from evaluation.settings import load
from services.alliance.domain.fold import read_again
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.state.history import Fact
from services.alliance.store.mongo import Kept, MongoStore, as_document
from shared.events import ConsentGiven, FeedbackAmended, FeedbackSubmitted, RelationshipStarted
from shared.events.cloudevents import encode
from shared.mongo.client import Mongo

DATABASE = "attune_alliance"
PATTERNS = 2_000  # courses of therapy, each followed by many relationships: generating more takes long
MIDST = 8  # the week of a course from which on it is followed: ruptures have begun by then
ONE_IN_NEW, ONE_IN_AMENDED = 50, 100  # relationships begin in that week; of the clients' answers are corrected
OPEN_DAYS, OPEN_MINUTES = 5, 600  # of a week, and of a day: when sessions are
CASELOAD, CLINICIANS = 25, 40  # relationships of a clinician, and clinicians of a clinic
CHUNK = 500  # relationships that are made and written together
COPIES = 10_000  # and that are copied together


@dataclass(frozen=True, slots=True)
class Network:
    """How large the network is, and how long its relationships have lasted."""

    relationships: int
    weeks: int = 3
    """Sessions that each has behind it; where none, everything lies on the topics, as a rebuild needs it."""
    ahead: int = 1
    """Sessions that are told of."""
    told: int | None = None
    """Relationships that are told of, all where None; the others are only there, each a copy of one that is."""

    @property
    def alive(self) -> int:
        return self.relationships if self.told is None else self.told


@dataclass(frozen=True, slots=True)
class Message:
    """One fact of the coming week, as it is told."""

    at: int
    """Milliseconds since 1970."""
    topic: str
    key: bytes
    value: bytes


async def prepare(network: Network, kafka: str, mongodb: str) -> int:
    """Write what is behind to MongoDB and tell of the week that comes; how many facts it has."""
    mongo = Mongo(mongodb, DATABASE)
    await MongoStore(mongo).prepare()
    await mongo.close()
    return await _tell(kafka, sorted(_made(network, mongodb), key=lambda message: message.at))


def _made(network: Network, mongodb: str) -> list[Message]:
    starts = range(0, network.alive, CHUNK)
    with get_context("spawn").Pool(2) as pool:
        batches = pool.starmap(_chunk, [(network, mongodb, start) for start in starts], chunksize=1)
        pool.starmap(
            _copy,
            [(mongodb, start, network.relationships) for start in range(network.alive, network.relationships, COPIES)],
        )
    return list(chain.from_iterable(batches))


def _copy(mongodb: str, start: int, end: int) -> None:
    """Relationships that are only there: the states of others, and one fact of each, under ids of their own."""
    with MongoClient[dict[str, Any]](mongodb, uuidRepresentation="standard") as client:
        database = client[DATABASE]
        states = list(database["alliances"].find().limit(CHUNK))
        events = list(database["facts"].find().limit(CHUNK))
        rows = [(row, uuid5(NAMESPACE_OID, f"relationship {row}")) for row in range(start, min(start + COPIES, end))]
        database["alliances"].insert_many(
            [{**states[row % len(states)], "_id": r, **_places(row)} for row, r in rows], ordered=False
        )
        database["facts"].insert_many(
            [{**events[row % len(events)], "_id": uuid5(r, "fact"), "r": r} for row, r in rows], ordered=False
        )


def _places(row: int) -> dict[str, UUID]:
    clinician = row // CASELOAD
    return {
        "clinician": uuid5(NAMESPACE_OID, f"clinician {clinician}"),
        "clinic": uuid5(NAMESPACE_OID, f"clinic {clinician // CLINICIANS}"),
    }


def _chunk(network: Network, mongodb: str, start: int) -> list[Message]:
    """Make some relationships: what is behind them goes to the database, what is to come is given back."""
    event_documents: list[dict[str, object]] = []
    state_documents: list[dict[str, object]] = []
    messages: list[Message] = []
    for row in range(start, min(start + CHUNK, network.alive)):
        past_events, coming_events = _life(row, network)
        messages += [_message(event) for event in coming_events]
        if past_events:
            state_documents.append(
                as_document(Kept(past_events[0].relationship_id, read_again(past_events, DEFAULT), 1))
            )
            event_documents += [
                {"_id": event.id, "r": event.relationship_id, "event": encode(event)} for event in past_events
            ]
    with MongoClient[dict[str, object]](mongodb, uuidRepresentation="standard") as client:
        if state_documents:
            client[DATABASE]["facts"].insert_many(event_documents, ordered=False)
            client[DATABASE]["alliances"].insert_many(state_documents, ordered=False)
    return messages


def _life(row: int, network: Network) -> tuple[list[Fact], list[Fact]]:
    """What is behind one relationship, and what is to come."""
    relationship, weeks = uuid5(NAMESPACE_OID, f"relationship {row}"), network.weeks
    courses = _courses(weeks, network.ahead)
    events = [_at_its_hour(event, row) for event in facts_of(courses, row % PATTERNS, relationship)]
    if not weeks:
        return [], events
    cutoff = BEGINNING + timedelta(weeks=weeks) - timedelta(hours=84)  # between two of its sessions
    cutoff += _hour(row)
    if row % ONE_IN_NEW == 0:
        return [], [
            _begun_later(event, weeks) for event in events if _is_beginning(event) or event.occurred_at >= cutoff
        ]
    coming_events = [event for event in events if event.occurred_at >= cutoff]
    if row % ONE_IN_AMENDED == 1:
        coming_events += [_amended(event) for event in coming_events if isinstance(event, FeedbackSubmitted)][-1:]
    return [event for event in events if event.occurred_at < cutoff], coming_events


def _hour(row: int) -> timedelta:
    """When in the week a relationship meets: at any minute at which the clinics are open."""
    days, minutes = divmod(row * 7_919 % (OPEN_DAYS * OPEN_MINUTES), OPEN_MINUTES)
    return timedelta(days=days, minutes=minutes, milliseconds=row % 60_000)


def _at_its_hour(event: Fact, row: int) -> Fact:
    update: dict[str, object] = {"occurred_at": event.occurred_at + _hour(row)}
    if isinstance(event, RelationshipStarted):
        update |= {f"{name}_id": clinic_or_clinician_id for name, clinic_or_clinician_id in _places(row).items()}
    return event.model_copy(update=update)


def _is_beginning(event: Fact) -> bool:
    return isinstance(event, RelationshipStarted | ConsentGiven)


def _begun_later(event: Fact, weeks: int) -> Fact:
    delay = timedelta(weeks=weeks) if _is_beginning(event) else timedelta()
    return event.model_copy(update={"occurred_at": event.occurred_at + delay})


def _amended(first: FeedbackSubmitted) -> FeedbackAmended:
    amended = first.model_dump() | {"type": "clinic.feedback.amended.v1", "amends": first.id}
    return FeedbackAmended.model_validate(
        amended | {"id": first.follow("amended"), "occurred_at": first.occurred_at + timedelta(days=1)}
    )


@cache
def _courses(weeks: int, ahead: int) -> Seen:
    """The weeks behind, and those that come, of every pattern."""
    evaluation = load()
    world = next(candidate.reported for candidate in evaluation.places if candidate.name == "ordinal")
    run_settings = evaluation.run
    ruptured_count = int(PATTERNS * run_settings.base_rate)
    observations = together(
        generator.stable(world, PATTERNS - ruptured_count, run_settings.sessions, run_settings.seed),
        generator.ruptured(world, ruptured_count, run_settings.sessions, run_settings.seed),
    ).seen
    return Seen(
        **{field.name: getattr(observations, field.name)[:, MIDST - weeks : MIDST + ahead] for field in fields(Seen)}
    )


def _message(event: Fact) -> Message:
    timestamp_ms = int(event.occurred_at.timestamp() * 1000)
    return Message(timestamp_ms, event.TOPIC.name, str(event.key).encode(), encode(event))


async def _tell(kafka: str, messages: Sequence[Message]) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=20, max_batch_size=128 * 1024)
    await producer.start()
    try:
        sends = [await producer.send(m.topic, m.value, key=m.key, timestamp_ms=m.at) for m in messages]
        await asyncio.gather(*sends)
    finally:
        await producer.stop()
    return len(messages)
