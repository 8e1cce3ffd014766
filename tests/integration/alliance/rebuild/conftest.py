"""Topics with a recorded history for each module of tests, and a database for each test."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from services.alliance.domain.state.history import HistoryEvent
from shared.events.topics import FEEDBACK
from shared.kafka.producer import Message, Producer
from tests.integration.alliance.rebuild.recorded_alliance import (
    RELATIONSHIP_COUNT,
    WEEK_COUNT,
    RecordedAlliance,
    history,
    resolved_alerts,
)
from tests.support.harness import started_producer


@pytest.fixture(scope="module")
def servers(empty_kafka: str) -> str:
    return empty_kafka


@pytest.fixture(scope="module")
def histories(servers: str) -> dict[UUID, list[HistoryEvent]]:
    """Events published before the first test, among them resolved alerts, and messages that cannot be decoded."""
    by_relationship = {
        r: [*events, *resolved_alerts(events)] for r, events in history(RELATIONSHIP_COUNT, WEEK_COUNT).items()
    }

    async def publish() -> None:
        producer = Producer(servers, "test")
        await producer.start()
        try:
            await producer.publish([event for events in by_relationship.values() for event in events])
            await producer.send(
                [Message(FEEDBACK.name, str(r).encode(), b"not json") for r in list(by_relationship)[:9]]
            )
            await producer.send([Message(FEEDBACK.name, None, b"{}")])
        finally:
            await producer.stop()

    asyncio.run(publish())
    return by_relationship


@pytest.fixture
async def producer(servers: str) -> AsyncIterator[Producer]:
    async with started_producer(servers) as producer:
        yield producer


@pytest.fixture
async def empty_alliance(
    servers: str, mongodb_uri: str, histories: dict[UUID, list[HistoryEvent]]
) -> AsyncIterator[RecordedAlliance]:
    """The database is empty."""
    recorded = RecordedAlliance(servers, mongodb_uri, histories)
    yield recorded
    await recorded.mongo.close()


@pytest.fixture
async def projected_alliance(empty_alliance: RecordedAlliance, producer: Producer) -> RecordedAlliance:
    """The database contains the history, as the service projects it."""
    await empty_alliance.handle(producer, *(event for events in empty_alliance.histories.values() for event in events))
    return empty_alliance
