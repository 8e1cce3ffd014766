"""A room of its own for each test."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.kafka.admin import missing
from shared.kafka.producer import Producer
from shared.topics import Topic, dead_letters
from tests.integration.shared.room import Room
from tests.running import until


@pytest.fixture
async def room(kafka_servers: str) -> AsyncIterator[Room]:
    group = f"test-{uuid4().hex}"
    topic = Topic(f"test.{group}", "test")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
    await admin.start()
    await admin.create_topics([NewTopic(t.name, 2, 1) for t in (topic, dead_letters(group))])
    await admin.close()

    async def are_there() -> bool:  # a broker answers before it has heard of them itself
        return not await missing(kafka_servers, [topic, dead_letters(group)])

    await until(are_there)
    producer = Producer(kafka_servers, "test")
    await producer.start()
    yield Room(kafka_servers, producer, topic, group)
    await producer.stop()
