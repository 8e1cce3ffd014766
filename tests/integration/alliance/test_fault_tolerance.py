"""Bad luck on the hot path: none of its levers may lose a fact or fold one twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from services.alliance.app import create_app
from services.alliance.domain.fold import Read, fold, read_again
from services.alliance.domain.policy.policy import DEFAULT, Policies, Policy
from services.alliance.domain.state.history import Fact
from services.alliance.handlers import projector as hear
from services.alliance.handlers.projector import Hear
from services.alliance.metrics import Metrics
from services.alliance.settings import Settings
from services.alliance.store.mongo import Kept, MongoStore
from shared.events import AllianceUpdated, Event
from shared.events.cloudevents import encode
from shared.events.topics import ALLIANCE, FEEDBACK, INTAKE, SESSIONS, dead_letters
from shared.kafka.dead_letters.record import ERROR
from shared.kafka.producer import Message, Producer
from shared.mongo.client import Mongo, Session
from tests.support.builders import Told
from tests.support.kafka_reader import records, told
from tests.support.serving import served, until
from tools.sandbox.servers.kafka import server as kafka_server
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

PARTITIONS = 3  # of the test's topics


class Process:
    """One process of the service, as far as a batch is concerned, with a connection of its own."""

    def __init__(self, uri: str, database: str, kind: type[MongoStore] = MongoStore) -> None:
        self.mongo = Mongo(uri, database)
        self.store = kind(self.mongo)
        self.registry = CollectorRegistry()
        self.told: list[Event] = []
        self.hear = Hear(self.store, self._tell, Policies(DEFAULT), Metrics(self.registry))

    async def _tell(self, events: Sequence[Event]) -> None:
        self.told += events

    def conflicts(self) -> float:
        return self.registry.get_sample_value("attune_alliance_conflicts_total") or 0.0


@pytest.fixture
async def two(mongodb_uri: str) -> AsyncIterator[tuple[Process, Process]]:
    """Two of them on one database, each a member of the group that thinks a partition its own."""
    database = f"test_{uuid4().hex}"
    first, second = Process(mongodb_uri, database, Slow), Process(mongodb_uri, database, Noting)
    await first.store.prepare()
    yield first, second
    await first.mongo.close()
    await second.mongo.close()


class Slow(MongoStore):
    """Rests between writing in a transaction and committing it, where it is told to."""

    def __init__(self, mongo: Mongo) -> None:
        super().__init__(mongo)
        self.written, self.may_commit = asyncio.Event(), asyncio.Event()
        self.may_commit.set()

    async def _keep_together(self, changed: Sequence[Kept], session: Session) -> set[UUID]:
        lost = await super()._keep_together(changed, session)
        self.written.set()
        await self.may_commit.wait()
        return lost


class Noting(MongoStore):
    """Notes when it has to write one by one."""

    def __init__(self, mongo: Mongo) -> None:
        super().__init__(mongo)
        self.one_by_one = asyncio.Event()

    async def _keep_each(self, changed: Sequence[Kept]) -> set[UUID]:
        self.one_by_one.set()
        return await super()._keep_each(changed)


def week(relationship: Told, number: int) -> list[Fact]:
    return [relationship.held(number), relationship.felt(number, 9 if number != 4 else 2)]


async def test_a_state_that_somebody_else_wrote_since_is_read_again(two: tuple[Process, Process]) -> None:
    """As after a partition went to another process and came back: what we remember of it is stale."""
    first, second = two
    builders = [Told() for _ in range(3)]
    handled: list[Fact] = []

    async def hear(process: Process, number: int) -> None:
        events = [event for builder in builders for event in week(builder, number)]
        handled.extend(events)
        await process.hear(events)

    await hear(first, 0)
    await hear(first, 1)
    await hear(second, 2)
    assert first.conflicts() == 0
    await hear(first, 3)
    assert first.conflicts() == len(builders)  # what was remembered lost, and nothing else was written
    await hear(second, 4)

    await _all_is_right(first, builders, handled)
    _each_version_is_told_with_one_content([*first.told, *second.told])


async def test_where_a_transaction_conflicts_each_state_is_written_on_its_own(two: tuple[Process, Process]) -> None:
    first, second = two
    builders = [Told() for _ in range(40)]
    slow, recording = cast("Slow", first.store), cast("Noting", second.store)
    contested_builder = builders[7]
    earlier = week(contested_builder, 0)
    later = [event for builder in builders for event in week(builder, 1)]

    slow.may_commit.clear()
    writing = asyncio.create_task(first.hear(earlier))
    await slow.written.wait()
    conflicting = asyncio.create_task(second.hear(later))
    await asyncio.wait_for(recording.one_by_one.wait(), 30)
    slow.may_commit.set()
    await asyncio.gather(writing, conflicting)

    assert second.conflicts() + first.conflicts() >= 1
    await _all_is_right(first, builders, [*earlier, *later])
    _each_version_is_told_with_one_content([*first.told, *second.told])


async def test_a_very_long_history_is_read_again_beside_everything_else(
    two: tuple[Process, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else heartbeats would wait for it too."""
    builder, loop_went_on = Told(), threading.Event()
    early, late = week(builder, 0), week(builder, 1)

    def waits_for_others(history: Sequence[Fact], policy: Policy) -> Read:
        assert loop_went_on.wait(30)
        return read_again(history, policy)

    await two[0].hear(late)
    monkeypatch.setattr(hear, "LONG", 3)
    monkeypatch.setattr(hear, "read_again", waits_for_others)
    asyncio.get_running_loop().call_later(0.1, loop_went_on.set)
    await two[0].hear(early)

    await _all_is_right(two[0], [builder], [*early, *late])


async def _all_is_right(process: Process, relationships: Sequence[Told], heard: Sequence[Fact]) -> None:
    ids = [relationship.relationship for relationship in relationships]
    loaded = await process.store.recall(ids)
    histories = await process.store.history(ids)
    for relationship in ids:
        events = [event for event in heard if event.relationship_id == relationship]
        assert sorted(event.id for event in histories[relationship]) == sorted(event.id for event in events)
        assert loaded[relationship].alliance == fold(events, DEFAULT)


def _each_version_is_told_with_one_content(news: Sequence[Event]) -> None:
    states = [event for event in news if isinstance(event, AllianceUpdated)]
    contents = {(state.relationship_id, state.version): encode(state) for state in states}
    assert len(contents) == len({(state.relationship_id, encode(state)) for state in states})


class Often(Told):
    """A relationship that meets every three hours for years, so that it has a history longer than any in the world."""

    def __init__(self) -> None:
        super().__init__(beginning=datetime(2015, 1, 5, tzinfo=UTC))

    def at(self, week: float) -> datetime:
        return self.beginning + week * timedelta(hours=3)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker of its own: so much would keep those busy who hear what other tests tell."""
    with kafka_server(tmp_path_factory.mktemp("kafka"), *free_ports(2)) as server:
        create_topics(server.address, PARTITIONS)
        yield server.address


@pytest.fixture
async def kafka(own_kafka: str) -> AsyncIterator[Producer]:
    producer = Producer(own_kafka, "test")
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
def settings(own_kafka: str, mongodb_uri: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=own_kafka,
        mongodb_uri=mongodb_uri,
        mongodb_database=f"test_{uuid4().hex}",
        kafka_batch_size=5_000,
    )


async def test_of_five_thousand_the_last_is_poison(kafka: Producer, settings: Settings) -> None:
    builders = [Told() for _ in range(200)]
    events = [event for number in range(13) for builder in builders for event in week(builder, number)][:4_999]
    undecodable = f"poison {uuid4()}".encode()
    await kafka.tell(events)
    await kafka.send(
        [
            Message(topic.name, None, undecodable, partition=partition)
            for topic in _HEARD
            for partition in range(PARTITIONS)
        ]
    )

    process = Process(settings.mongodb_uri, settings.mongodb_database)

    async def all_are_known() -> bool:
        histories = await process.store.history([builder.relationship for builder in builders])
        return sum(map(len, histories.values())) == len(events)

    async with served(create_app(settings)):
        await until(all_are_known, 60)  # and whoever is stopped finishes the batch in hand

    dead_letters_found = [
        record for record in await records(settings.kafka_bootstrap_servers, _LETTERS) if record.value == undecodable
    ]
    assert {dict(dead_letter.headers)[ERROR] for dead_letter in dead_letters_found} == {b"message: is not JSON"}
    assert len(dead_letters_found) == len(_HEARD) * PARTITIONS
    await _all_is_right(process, builders, events)
    await process.mongo.close()


async def test_all_facts_of_a_long_history_on_one_partition_and_then_a_late_one(
    kafka: Producer, settings: Settings
) -> None:
    builder, sessions = Often(), 6_000
    numbers = [number for number in range(sessions) if number != 17]
    events: list[Fact] = [builder.consent(-0.5, given=True)]
    events += [event for number in numbers for event in (builder.held(number), builder.felt(number, number % 5))]
    late: list[Fact] = [builder.held(17), builder.felt(17, 9), builder.amended(4, 7)]

    async with served(create_app(settings)) as client:
        await kafka.send([_on_the_first(event) for event in events])
        await until(lambda: _has_sessions(client, builder, sessions - 1), 60)
        await kafka.send([_on_the_first(event) for event in [*late, *events[-50:], *late]])
        await until(lambda: _has_sessions(client, builder, sessions), 60)

    expected = fold([*events, *late], DEFAULT)
    process = Process(settings.mongodb_uri, settings.mongodb_database)
    loaded = (await process.store.recall([builder.relationship]))[builder.relationship]
    await process.mongo.close()
    assert loaded.alliance == expected
    published = await told(settings.kafka_bootstrap_servers, ALLIANCE, builder.relationship)
    _each_version_is_told_with_one_content(published)
    assert _scores(published) == (loaded.version, expected.client.ratings)


_HEARD = (INTAKE, SESSIONS, FEEDBACK)
_LETTERS = dead_letters("alliance")


def _scores(news: Sequence[Event]) -> tuple[int, int]:
    """The last version that was told, and how many ratings it rests on."""
    last = max((update for update in news if isinstance(update, AllianceUpdated)), key=lambda update: update.version)
    return last.version, last.ratings


def _on_the_first(fact: Fact) -> Message:
    return Message(SESSIONS.name, str(fact.key).encode(), encode(fact), partition=0)


async def _has_sessions(client: httpx2.AsyncClient, relationship: Told, sessions: int) -> bool:
    response = await client.get(f"/relationships/{relationship.relationship}")
    return response.status_code == 200 and response.json()["sessions"] == sessions
