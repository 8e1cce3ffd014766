"""What integration tests share: the topics, a producer, and a consumer harness."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from shared.events.topics import Topic, dead_letter_topic
from shared.kafka.producer import Producer
from tests.support.harness import ConsumerHarness, create_test_topics
from tools.sandbox.servers.kafka_inspector import create_topics


@pytest.fixture(scope="session", autouse=True)
def topics(kafka_servers: str) -> None:
    """The topics, created as in a deployment; with few partitions, so that groups form fast."""
    create_topics(kafka_servers, 3)


@pytest.fixture
async def kafka(kafka_servers: str) -> AsyncIterator[Producer]:
    """A producer that publishes what the services consume."""
    producer = Producer(kafka_servers, "test")
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
async def harness(kafka_servers: str) -> AsyncIterator[ConsumerHarness]:
    """A topic and a consumer group for one test."""
    group = f"test-{uuid4().hex}"
    topic = Topic(f"test.{group}", "test")
    await create_test_topics(kafka_servers, topic, dead_letter_topic(group), partitions=2)
    producer = Producer(kafka_servers, "test")
    await producer.start()
    yield ConsumerHarness(kafka_servers, producer, topic, group)
    await producer.stop()
