"""Faults on the hot path: none of its optimizations may lose an event or fold one twice."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from services.alliance.app import create_app
from services.alliance.domain.fold import FoldResult, fold, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies, Policy
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.handlers import projector as projector_module
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.settings import Settings
from services.alliance.store.mongo import MongoStore
from shared.events import AllianceUpdated, Event
from shared.events.cloudevents import encode
from shared.events.topics import ALLIANCE, FEEDBACK, INTAKE, SESSIONS, dead_letter_topic
from shared.kafka.dead_letters.record import ERROR_HEADER
from shared.kafka.producer import Message, Producer
from shared.mongo.client import Mongo, MongoSession, Result, WriteConflict
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events, read_records
from tests.support.serving import run_app, wait_until
from tools.sandbox.servers.kafka import kafka_server as kafka_server
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

PARTITIONS = 3


class ServiceProcess:
    """The part of one service process that handles a batch, with its own database connection."""

    def __init__(self, uri: str, database: str, mongo_type: type[Mongo] = Mongo) -> None:
        self.mongo = mongo_type(uri, database)
        self.store = MongoStore(self.mongo)
        self.registry = CollectorRegistry()
        self.published: list[Event] = []
        self.projector = AllianceProjector(self.store, self._publish, Policies(DEFAULT_POLICY), Metrics(self.registry))

    async def _publish(self, events: Sequence[Event]) -> None:
        self.published += events

    def conflicts(self) -> float:
        return self.registry.get_sample_value("attune_alliance_conflicts_total") or 0.0


@pytest.fixture
async def two_processes(mongodb_uri: str) -> AsyncIterator[tuple[ServiceProcess, ServiceProcess]]:
    """Two processes on one database; each believes that a partition is assigned to it."""
    database = f"test_{uuid4().hex}"
    first, second = (
        ServiceProcess(mongodb_uri, database, SlowMongo),
        ServiceProcess(mongodb_uri, database, RecordingMongo),
    )
    await first.store.create_indexes()
    yield first, second
    await first.mongo.close()
    await second.mongo.close()


class SlowMongo(Mongo):
    """Can pause between the writes and the commit of a transaction."""

    def __init__(self, uri: str, database: str) -> None:
        super().__init__(uri, database)
        self.has_written, self.may_commit = asyncio.Event(), asyncio.Event()
        self.may_commit.set()

    async def try_transaction(self, work: Callable[[MongoSession], Awaitable[Result]]) -> Result:
        async def work_and_wait(session: MongoSession) -> Result:
            result = await work(session)
            self.has_written.set()
            await self.may_commit.wait()
            return result

        return await super().try_transaction(work_and_wait)


class RecordingMongo(Mongo):
    """Records when a transaction fails because another process writes the same documents."""

    def __init__(self, uri: str, database: str) -> None:
        super().__init__(uri, database)
        self.has_conflicted = asyncio.Event()

    async def try_transaction(self, work: Callable[[MongoSession], Awaitable[Result]]) -> Result:
        try:
            return await super().try_transaction(work)
        except WriteConflict:
            self.has_conflicted.set()
            raise


def week_events(builder: RelationshipBuilder, number: int) -> list[HistoryEvent]:
    return [builder.completed(number), builder.feedback(number, 9 if number != 4 else 2)]


async def test_a_stale_cached_state_is_loaded_again(
    two_processes: tuple[ServiceProcess, ServiceProcess],
) -> None:
    """As after a partition moved to another process and back: the cached state is stale."""
    first, second = two_processes
    builders = [RelationshipBuilder() for _ in range(3)]
    handled: list[HistoryEvent] = []

    async def handle_week(process: ServiceProcess, number: int) -> None:
        events = [event for builder in builders for event in week_events(builder, number)]
        handled.extend(events)
        await process.projector.handle_batch(events)

    await handle_week(first, 0)
    await handle_week(first, 1)
    await handle_week(second, 2)
    assert first.conflicts() == 0
    await handle_week(first, 3)
    assert first.conflicts() == len(builders)  # only the cached states conflicted
    await handle_week(second, 4)

    await _assert_states_are_folds(first, builders, handled)
    _assert_one_content_per_version([*first.published, *second.published])


async def test_after_a_transaction_conflict_each_state_is_written_separately(
    two_processes: tuple[ServiceProcess, ServiceProcess],
) -> None:
    first, second = two_processes
    builders = [RelationshipBuilder() for _ in range(40)]
    slow, recording = cast("SlowMongo", first.mongo), cast("RecordingMongo", second.mongo)
    contested_builder = builders[7]
    earlier = week_events(contested_builder, 0)
    later = [event for builder in builders for event in week_events(builder, 1)]

    slow.may_commit.clear()
    writing = asyncio.create_task(first.projector.handle_batch(earlier))
    await slow.has_written.wait()
    conflicting = asyncio.create_task(second.projector.handle_batch(later))
    await asyncio.wait_for(recording.has_conflicted.wait(), 30)
    slow.may_commit.set()
    await asyncio.gather(writing, conflicting)

    assert second.conflicts() + first.conflicts() >= 1
    await _assert_states_are_folds(first, builders, [*earlier, *later])
    _assert_one_content_per_version([*first.published, *second.published])


async def test_a_very_long_history_is_refolded_without_blocking_the_event_loop(
    two_processes: tuple[ServiceProcess, ServiceProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise heartbeats would wait for it too."""
    builder, loop_went_on = RelationshipBuilder(), threading.Event()
    early, late = week_events(builder, 0), week_events(builder, 1)

    def wait_and_refold(history: Sequence[HistoryEvent], policy: Policy) -> FoldResult:
        assert loop_went_on.wait(30)
        return refold(history, policy)

    await two_processes[0].projector.handle_batch(late)
    monkeypatch.setattr(projector_module, "LONG_HISTORY_EVENTS", 3)
    monkeypatch.setattr(projector_module, "refold", wait_and_refold)
    asyncio.get_running_loop().call_later(0.1, loop_went_on.set)
    await two_processes[0].projector.handle_batch(early)

    await _assert_states_are_folds(two_processes[0], [builder], [*early, *late])


async def _assert_states_are_folds(
    process: ServiceProcess, builders: Sequence[RelationshipBuilder], handled: Sequence[HistoryEvent]
) -> None:
    ids = [relationship.relationship_id for relationship in builders]
    loaded = await process.store.load(ids)
    histories = await process.store.history(ids)
    for relationship in ids:
        events = [event for event in handled if event.relationship_id == relationship]
        assert sorted(event.id for event in histories[relationship]) == sorted(event.id for event in events)
        assert loaded[relationship].alliance == fold(events, DEFAULT_POLICY)


def _assert_one_content_per_version(published: Sequence[Event]) -> None:
    states = [event for event in published if isinstance(event, AllianceUpdated)]
    contents = {(state.relationship_id, state.version): encode(state) for state in states}
    assert len(contents) == len({(state.relationship_id, encode(state)) for state in states})


class LongRelationshipBuilder(RelationshipBuilder):
    """A relationship with a session every three hours for years: a longer history than any real one."""

    def __init__(self) -> None:
        super().__init__(first_session_at=datetime(2015, 1, 5, tzinfo=UTC))

    def at(self, week: float) -> datetime:
        return self.first_session_at + week * timedelta(hours=3)


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A dedicated broker: this many messages would slow down the consumers of other tests."""
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


async def test_a_batch_of_five_thousand_messages_is_handled_although_the_last_cannot_be_decoded(
    kafka: Producer, settings: Settings
) -> None:
    builders = [RelationshipBuilder() for _ in range(200)]
    events = [event for number in range(13) for builder in builders for event in week_events(builder, number)][:4_999]
    undecodable = f"poison {uuid4()}".encode()
    await kafka.publish(events)
    await kafka.send(
        [
            Message(topic.name, None, undecodable, partition=partition)
            for topic in _CONSUMED_TOPICS
            for partition in range(PARTITIONS)
        ]
    )

    process = ServiceProcess(settings.mongodb_uri, settings.mongodb_database)

    async def are_all_stored() -> bool:
        histories = await process.store.history([builder.relationship_id for builder in builders])
        return sum(map(len, histories.values())) == len(events)

    async with run_app(create_app(settings)):
        await wait_until(are_all_stored, 60)  # a consumer that is stopped finishes its current batch

    dead_letters_found = [
        record
        for record in await read_records(settings.kafka_bootstrap_servers, _DEAD_LETTER_TOPIC)
        if record.value == undecodable
    ]
    assert {dict(dead_letter.headers)[ERROR_HEADER] for dead_letter in dead_letters_found} == {b"message: is not JSON"}
    assert len(dead_letters_found) == len(_CONSUMED_TOPICS) * PARTITIONS
    await _assert_states_are_folds(process, builders, events)
    await process.mongo.close()


async def test_a_late_event_after_a_long_history_on_one_partition_is_folded(
    kafka: Producer, settings: Settings
) -> None:
    builder, sessions = LongRelationshipBuilder(), 6_000
    numbers = [number for number in range(sessions) if number != 17]
    events: list[HistoryEvent] = [builder.consent_changed(-0.5, given=True)]
    events += [
        event for number in numbers for event in (builder.completed(number), builder.feedback(number, number % 5))
    ]
    late: list[HistoryEvent] = [builder.completed(17), builder.feedback(17, 9), builder.amended(4, 7)]

    async with run_app(create_app(settings)) as client:
        await kafka.send([_on_first_partition(event) for event in events])
        await wait_until(lambda: _has_sessions(client, builder, sessions - 1), 60)
        await kafka.send([_on_first_partition(event) for event in [*late, *events[-50:], *late]])
        await wait_until(lambda: _has_sessions(client, builder, sessions), 60)

    expected = fold([*events, *late], DEFAULT_POLICY)
    process = ServiceProcess(settings.mongodb_uri, settings.mongodb_database)
    loaded = (await process.store.load([builder.relationship_id]))[builder.relationship_id]
    await process.mongo.close()
    assert loaded.alliance == expected
    published = await read_events(settings.kafka_bootstrap_servers, ALLIANCE, builder.relationship_id)
    _assert_one_content_per_version(published)
    assert _last_version_and_ratings(published) == (loaded.version, expected.client.ratings)


_CONSUMED_TOPICS = (INTAKE, SESSIONS, FEEDBACK)
_DEAD_LETTER_TOPIC = dead_letter_topic("alliance")


def _last_version_and_ratings(published: Sequence[Event]) -> tuple[int, int]:
    """The last published version, and the number of its ratings."""
    last = max(
        (update for update in published if isinstance(update, AllianceUpdated)), key=lambda update: update.version
    )
    return last.version, last.ratings


def _on_first_partition(event: HistoryEvent) -> Message:
    return Message(SESSIONS.name, str(event.key).encode(), encode(event), partition=0)


async def _has_sessions(client: httpx2.AsyncClient, builder: RelationshipBuilder, sessions: int) -> bool:
    response = await client.get(f"/relationships/{builder.relationship_id}")
    return response.status_code == 200 and response.json()["sessions"] == sessions
