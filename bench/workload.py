"""The workload: a clinic network with some weeks of history, and the events of the following week.

Every relationship has one session in that week, so a batch rarely has two events of the same relationship. The events
are published in the order in which they occurred, as by services that are not behind.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import cache
from itertools import chain
from multiprocessing import get_context
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from aiokafka import AIOKafkaProducer
from pymongo import MongoClient

from evaluation.attune import history_of
from evaluation.simulation.events import FIRST_SESSION_AT
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.question import ask
from evaluation.simulation.settings import load_settings
from evaluation.simulation.truth import Relationships, concatenate
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.store.mongo import MongoStore, to_document
from services.alliance.store.protocol import VersionedState
from shared.events import ConsentGiven, FeedbackAmended, FeedbackSubmitted, RelationshipStarted
from shared.events.cloudevents import encode
from shared.mongo.client import Mongo

DATABASE = "attune_alliance"
COURSE_COUNT = 2_000  # simulated courses of therapy, each used by many relationships: generating more takes long
RUPTURED_SHARE = 0.25  # of the courses
SEED = 20261124
MIDDLE_WEEK = 8  # the first coming week is this week of a course: ruptures have begun by then
RELATIONSHIPS_PER_NEW = 50  # one relationship in so many starts in the coming week
RELATIONSHIPS_PER_AMENDED = 100  # in one of so many, the client amends an answer
OPEN_DAYS_PER_WEEK, OPEN_MINUTES_PER_DAY = 5, 600  # when sessions take place
RELATIONSHIPS_PER_CLINICIAN, CLINICIANS_PER_CLINIC = 25, 40
RELATIONSHIP_BATCH_SIZE = 500  # relationships that are generated and written together
COPY_BATCH_SIZE = 10_000  # relationships that are copied together


@dataclass(frozen=True, slots=True)
class Network:
    """The size of the network, and how long its relationships have lasted."""

    relationships: int
    past_weeks: int = 3
    """Past sessions of each relationship; if 0, all events are on the topics, as a rebuild needs them."""
    coming_weeks: int = 1
    """Sessions of each relationship whose events are on the topics."""
    active_relationships: int | None = None
    """Relationships with events on the topics, all if None; the others are only stored, as copies."""

    @property
    def active_count(self) -> int:
        return self.relationships if self.active_relationships is None else self.active_relationships


@dataclass(frozen=True, slots=True)
class Message:
    """One event of the coming week, as a Kafka message."""

    timestamp_ms: int
    topic: str
    key: bytes
    value: bytes


async def create_workload(network: Network, bootstrap_servers: str, mongodb_uri: str) -> int:
    """Write the past to MongoDB and publish the events of the coming week; return how many these are."""
    mongo = Mongo(mongodb_uri, DATABASE)
    await MongoStore(mongo).create_indexes()
    await mongo.close()
    return await publish(bootstrap_servers, _generate(network, mongodb_uri))


def generate_messages(network: Network) -> tuple[list[Message], list[Message]]:
    """The past and the coming events of all relationships, as messages."""
    starts = range(0, network.active_count, RELATIONSHIP_BATCH_SIZE)
    with get_context("spawn").Pool(2) as pool:
        batches = pool.starmap(_generate_messages, [(network, start) for start in starts], chunksize=1)
    return [message for past, _ in batches for message in past], [
        message for _, coming in batches for message in coming
    ]


def _generate_messages(network: Network, start: int) -> tuple[list[Message], list[Message]]:
    past: list[Message] = []
    coming: list[Message] = []
    for row in range(start, min(start + RELATIONSHIP_BATCH_SIZE, network.active_count)):
        past_events, coming_events = _past_and_coming_events(row, network)
        past += map(_message, past_events)
        coming += map(_message, coming_events)
    return past, coming


def _generate(network: Network, mongodb_uri: str) -> list[Message]:
    starts = range(0, network.active_count, RELATIONSHIP_BATCH_SIZE)
    with get_context("spawn").Pool(2) as pool:
        batches = pool.starmap(_generate_batch, [(network, mongodb_uri, start) for start in starts], chunksize=1)
        pool.starmap(
            _copy_relationships,
            [
                (mongodb_uri, start, network.relationships)
                for start in range(network.active_count, network.relationships, COPY_BATCH_SIZE)
            ],
        )
    return list(chain.from_iterable(batches))


def _copy_relationships(mongodb_uri: str, start: int, end: int) -> None:
    """Store relationships without coming events: copies of a state and one event each, with ids of their own."""
    with MongoClient[dict[str, Any]](mongodb_uri, uuidRepresentation="standard") as client:
        database = client[DATABASE]
        states = list(database["alliances"].find().limit(RELATIONSHIP_BATCH_SIZE))
        events = list(database["facts"].find().limit(RELATIONSHIP_BATCH_SIZE))
        rows = [
            (row, uuid5(NAMESPACE_OID, f"relationship {row}"))
            for row in range(start, min(start + COPY_BATCH_SIZE, end))
        ]
        database["alliances"].insert_many(
            [{**states[row % len(states)], "_id": r, **_clinic_and_clinician(row)} for row, r in rows], ordered=False
        )
        database["facts"].insert_many(
            [{**events[row % len(events)], "_id": uuid5(r, "fact"), "r": r} for row, r in rows], ordered=False
        )


def _clinic_and_clinician(row: int) -> dict[str, UUID]:
    clinician = row // RELATIONSHIPS_PER_CLINICIAN
    return {
        "clinician": uuid5(NAMESPACE_OID, f"clinician {clinician}"),
        "clinic": uuid5(NAMESPACE_OID, f"clinic {clinician // CLINICIANS_PER_CLINIC}"),
    }


def _generate_batch(network: Network, mongodb_uri: str, start: int) -> list[Message]:
    """Generate some relationships: write their past to the database, return their coming events as messages."""
    event_documents: list[dict[str, object]] = []
    state_documents: list[dict[str, object]] = []
    messages: list[Message] = []
    for row in range(start, min(start + RELATIONSHIP_BATCH_SIZE, network.active_count)):
        past_events, coming_events = _past_and_coming_events(row, network)
        messages += [_message(event) for event in coming_events]
        if past_events:
            state_documents.append(
                to_document(VersionedState(past_events[0].relationship_id, refold(past_events, DEFAULT_POLICY), 1))
            )
            event_documents += [
                {"_id": event.id, "r": event.relationship_id, "event": encode(event)} for event in past_events
            ]
    with MongoClient[dict[str, object]](mongodb_uri, uuidRepresentation="standard") as client:
        if state_documents:
            client[DATABASE]["facts"].insert_many(event_documents, ordered=False)
            client[DATABASE]["alliances"].insert_many(state_documents, ordered=False)
    return messages


def _past_and_coming_events(row: int, network: Network) -> tuple[list[HistoryEvent], list[HistoryEvent]]:
    """The past and the coming events of one relationship."""
    client, weeks = uuid5(NAMESPACE_OID, f"client {row}"), network.past_weeks
    courses = _courses(weeks, network.coming_weeks)
    events = [_shift_to_session_time(event, row) for event in history_of(courses, row % COURSE_COUNT, client)]
    if not weeks:
        return [], events
    cutoff = FIRST_SESSION_AT + timedelta(weeks=weeks) - timedelta(hours=84)  # between two of its sessions
    cutoff += _session_time(row)
    if row % RELATIONSHIPS_PER_NEW == 0:
        return [], [
            _delay_start(event, weeks) for event in events if _is_start_event(event) or event.occurred_at >= cutoff
        ]
    coming_events = [event for event in events if event.occurred_at >= cutoff]
    if row % RELATIONSHIPS_PER_AMENDED == 1:
        coming_events += [_amend(event) for event in coming_events if isinstance(event, FeedbackSubmitted)][-1:]
    return [event for event in events if event.occurred_at < cutoff], coming_events


def _session_time(row: int) -> timedelta:
    """The time of a relationship's session in the week: any minute at which the clinics are open."""
    days, minutes = divmod(row * 7_919 % (OPEN_DAYS_PER_WEEK * OPEN_MINUTES_PER_DAY), OPEN_MINUTES_PER_DAY)
    return timedelta(days=days, minutes=minutes, milliseconds=row % 60_000)


def _shift_to_session_time(event: HistoryEvent, row: int) -> HistoryEvent:
    update: dict[str, object] = {"occurred_at": event.occurred_at + _session_time(row)}
    if isinstance(event, RelationshipStarted):
        update |= {
            f"{name}_id": clinic_or_clinician_id for name, clinic_or_clinician_id in _clinic_and_clinician(row).items()
        }
    return event.model_copy(update=update)


def _is_start_event(event: HistoryEvent) -> bool:
    return isinstance(event, RelationshipStarted | ConsentGiven)


def _delay_start(event: HistoryEvent, weeks: int) -> HistoryEvent:
    delay = timedelta(weeks=weeks) if _is_start_event(event) else timedelta()
    return event.model_copy(update={"occurred_at": event.occurred_at + delay})


def _amend(first: FeedbackSubmitted) -> FeedbackAmended:
    amended = first.model_dump() | {"type": "clinic.feedback.amended.v1", "amends": first.id}
    return FeedbackAmended.model_validate(
        amended | {"id": first.derive_id("amended"), "occurred_at": first.occurred_at + timedelta(days=1)}
    )


@cache
def _courses(past_weeks: int, coming_weeks: int) -> Relationships:
    """The past and the coming weeks of every simulated course, in a clinic that asks the direct question."""
    settings, weeks = load_settings(), slice(MIDDLE_WEEK - past_weeks, MIDDLE_WEEK + coming_weeks)
    world, ruptured_count = settings.world("ordinal").reported, int(COURSE_COUNT * RUPTURED_SHARE)
    courses = concatenate(
        generate_stable(world, COURSE_COUNT - ruptured_count, SEED), generate_ruptured(world, ruptured_count, SEED)
    )
    courses = ask(courses, settings.question, "candid", SEED)
    observations = replace(
        courses.observations,
        **{field.name: getattr(courses.observations, field.name)[:, weeks] for field in fields(courses.observations)},
    )
    course = replace(courses.truth.course, week=courses.truth.course.week[:, : past_weeks + coming_weeks])
    return Relationships(observations, replace(courses.truth, course=course))


def _message(event: HistoryEvent) -> Message:
    timestamp_ms = int(event.occurred_at.timestamp() * 1000)
    return Message(timestamp_ms, event.TOPIC.name, str(event.key).encode(), encode(event))


async def publish(bootstrap_servers: str, messages: Sequence[Message]) -> int:
    """Publish the messages in the order in which their events occurred; return how many these are."""
    in_order = sorted(messages, key=lambda message: message.timestamp_ms)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", linger_ms=20, max_batch_size=128 * 1024
    )
    await producer.start()
    try:
        sends = [await producer.send(m.topic, m.value, key=m.key, timestamp_ms=m.timestamp_ms) for m in in_order]
        await asyncio.gather(*sends)
    finally:
        await producer.stop()
    return len(messages)
