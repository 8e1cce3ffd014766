"""A very large batch and a very long history are handled like any other."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx2
import pytest

from services.alliance.app import create_app
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.settings import Settings
from shared.events import AllianceUpdated, Event
from shared.events.cloudevents import encode
from shared.events.topics import ALLIANCE, FEEDBACK, INTAKE, SESSIONS, dead_letter_topic
from shared.kafka.dead_letters.record import ERROR_HEADER
from shared.kafka.producer import Message, Producer
from tests.support.alliance_process import (
    AllianceProcess,
    assert_one_content_per_version,
    assert_states_are_folds,
    week_events,
)
from tests.support.builders import RelationshipBuilder
from tests.support.harness import started_producer
from tests.support.kafka_reader import read_events, read_records
from tests.support.service_process import PARTITIONS
from tests.support.serving import run_app, wait_until

pytestmark = pytest.mark.integration

CONSUMED_TOPICS = (INTAKE, SESSIONS, FEEDBACK)


class LongRelationshipBuilder(RelationshipBuilder):
    """A relationship with a session every three hours for years: a longer history than any real one."""

    def __init__(self) -> None:
        super().__init__(first_session_at=datetime(2015, 1, 5, tzinfo=UTC))

    def at(self, week: float) -> datetime:
        return self.first_session_at + week * timedelta(hours=3)


@pytest.fixture
async def kafka(empty_kafka: str) -> AsyncIterator[Producer]:
    """On the second Kafka: this many messages would slow down the consumers of other tests."""
    async with started_producer(empty_kafka) as producer:
        yield producer


@pytest.fixture
def settings(empty_kafka: str, mongodb_uri: str) -> Settings:
    return Settings(
        kafka_bootstrap_servers=empty_kafka,
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
            for topic in CONSUMED_TOPICS
            for partition in range(PARTITIONS)
        ]
    )

    process = AllianceProcess(settings.mongodb_uri, settings.mongodb_database)

    async def are_all_stored() -> bool:
        histories = await process.store.history([builder.relationship_id for builder in builders])
        return sum(map(len, histories.values())) == len(events)

    async with run_app(create_app(settings)):
        await wait_until(are_all_stored, 60)  # a consumer that is stopped finishes its current batch

    dead_letters_found = [
        record
        for record in await read_records(settings.kafka_bootstrap_servers, dead_letter_topic("alliance"))
        if record.value == undecodable
    ]
    assert {dict(dead_letter.headers)[ERROR_HEADER] for dead_letter in dead_letters_found} == {b"message: is not JSON"}
    assert len(dead_letters_found) == len(CONSUMED_TOPICS) * PARTITIONS
    await assert_states_are_folds(process, builders, events)
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
    process = AllianceProcess(settings.mongodb_uri, settings.mongodb_database)
    loaded = (await process.store.load([builder.relationship_id]))[builder.relationship_id]
    await process.mongo.close()
    assert loaded.alliance == expected
    published = await read_events(settings.kafka_bootstrap_servers, ALLIANCE, builder.relationship_id)
    assert_one_content_per_version(published)
    assert _last_version_and_ratings(published) == (loaded.version, expected.client.ratings)


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
