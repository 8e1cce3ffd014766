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
        made = pool.starmap(_chunk, [(network, mongodb, start) for start in starts], chunksize=1)
        pool.starmap(
            _copy,
            [(mongodb, start, network.relationships) for start in range(network.alive, network.relationships, COPIES)],
        )
    return list(chain.from_iterable(made))


def _copy(mongodb: str, start: int, end: int) -> None:
    """Relationships that are only there: the states of others, and one fact of each, under ids of their own."""
    with MongoClient[dict[str, Any]](mongodb, uuidRepresentation="standard") as client:
        database = client[DATABASE]
        states = list(database["alliances"].find().limit(CHUNK))
        facts = list(database["facts"].find().limit(CHUNK))
        rows = [(row, uuid5(NAMESPACE_OID, f"relationship {row}")) for row in range(start, min(start + COPIES, end))]
        database["alliances"].insert_many(
            [{**states[row % len(states)], "_id": r, **_places(row)} for row, r in rows], ordered=False
        )
        database["facts"].insert_many(
            [{**facts[row % len(facts)], "_id": uuid5(r, "fact"), "r": r} for row, r in rows], ordered=False
        )


def _places(row: int) -> dict[str, UUID]:
    clinician = row // CASELOAD
    return {
        "clinician": uuid5(NAMESPACE_OID, f"clinician {clinician}"),
        "clinic": uuid5(NAMESPACE_OID, f"clinic {clinician // CLINICIANS}"),
    }


def _chunk(network: Network, mongodb: str, start: int) -> list[Message]:
    """Make some relationships: what is behind them goes to the database, what is to come is given back."""
    facts: list[dict[str, object]] = []
    states: list[dict[str, object]] = []
    coming: list[Message] = []
    for row in range(start, min(start + CHUNK, network.alive)):
        before, after = _life(row, network)
        coming += [_message(fact) for fact in after]
        if before:
            states.append(as_document(Kept(before[0].relationship_id, read_again(before, DEFAULT), 1)))
            facts += [{"_id": fact.id, "r": fact.relationship_id, "event": encode(fact)} for fact in before]
    with MongoClient[dict[str, object]](mongodb, uuidRepresentation="standard") as client:
        if states:
            client[DATABASE]["facts"].insert_many(facts, ordered=False)
            client[DATABASE]["alliances"].insert_many(states, ordered=False)
    return coming


def _life(row: int, network: Network) -> tuple[list[Fact], list[Fact]]:
    """What is behind one relationship, and what is to come."""
    relationship, weeks = uuid5(NAMESPACE_OID, f"relationship {row}"), network.weeks
    courses = _courses(weeks, network.ahead)
    facts = [_at_its_hour(fact, row) for fact in facts_of(courses, row % PATTERNS, relationship)]
    if not weeks:
        return [], facts
    turn = BEGINNING + timedelta(weeks=weeks) - timedelta(hours=84)  # between two of its sessions
    turn += _hour(row)
    if row % ONE_IN_NEW == 0:
        return [], [_begun_later(fact, weeks) for fact in facts if _is_beginning(fact) or fact.occurred_at >= turn]
    coming = [fact for fact in facts if fact.occurred_at >= turn]
    if row % ONE_IN_AMENDED == 1:
        coming += [_amended(fact) for fact in coming if isinstance(fact, FeedbackSubmitted)][-1:]
    return [fact for fact in facts if fact.occurred_at < turn], coming


def _hour(row: int) -> timedelta:
    """When in the week a relationship meets: at any minute at which the clinics are open."""
    days, minutes = divmod(row * 7_919 % (OPEN_DAYS * OPEN_MINUTES), OPEN_MINUTES)
    return timedelta(days=days, minutes=minutes, milliseconds=row % 60_000)


def _at_its_hour(fact: Fact, row: int) -> Fact:
    moved: dict[str, object] = {"occurred_at": fact.occurred_at + _hour(row)}
    if isinstance(fact, RelationshipStarted):
        moved |= {f"{name}_id": place for name, place in _places(row).items()}
    return fact.model_copy(update=moved)


def _is_beginning(fact: Fact) -> bool:
    return isinstance(fact, RelationshipStarted | ConsentGiven)


def _begun_later(fact: Fact, weeks: int) -> Fact:
    later = timedelta(weeks=weeks) if _is_beginning(fact) else timedelta()
    return fact.model_copy(update={"occurred_at": fact.occurred_at + later})


def _amended(first: FeedbackSubmitted) -> FeedbackAmended:
    corrected = first.model_dump() | {"type": "clinic.feedback.amended.v1", "amends": first.id}
    return FeedbackAmended.model_validate(
        corrected | {"id": first.follow("amended"), "occurred_at": first.occurred_at + timedelta(days=1)}
    )


@cache
def _courses(weeks: int, ahead: int) -> Seen:
    """The weeks behind, and those that come, of every pattern."""
    evaluation = load()
    world = next(place.reported for place in evaluation.places if place.name == "ordinal")
    run = evaluation.run
    ruptured = int(PATTERNS * run.base_rate)
    seen = together(
        generator.stable(world, PATTERNS - ruptured, run.sessions, run.seed),
        generator.ruptured(world, ruptured, run.sessions, run.seed),
    ).seen
    return Seen(**{field.name: getattr(seen, field.name)[:, MIDST - weeks : MIDST + ahead] for field in fields(Seen)})


def _message(fact: Fact) -> Message:
    at = int(fact.occurred_at.timestamp() * 1000)
    return Message(at, fact.TOPIC.name, str(fact.key).encode(), encode(fact))


async def _tell(kafka: str, messages: Sequence[Message]) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=20, max_batch_size=128 * 1024)
    await producer.start()
    try:
        told = [await producer.send(m.topic, m.value, key=m.key, timestamp_ms=m.at) for m in messages]
        await asyncio.gather(*told)
    finally:
        await producer.stop()
    return len(messages)
