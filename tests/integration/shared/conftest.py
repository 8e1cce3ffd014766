"""A room of its own for each test."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.events.topics import Topic, dead_letters
from shared.kafka.producer import Producer
from tests.support.harness import Room, create_test_topics


@pytest.fixture
async def room(kafka_servers: str) -> AsyncIterator[Room]:
    group = f"test-{uuid4().hex}"
    topic = Topic(f"test.{group}", "test")
    await create_test_topics(kafka_servers, topic, dead_letters(group), partitions=2)
    producer = Producer(kafka_servers, "test")
    await producer.start()
    yield Room(kafka_servers, producer, topic, group)
    await producer.stop()
