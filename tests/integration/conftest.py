"""What integration tests share: the topics, a producer, a consumer harness, and a Kafka with empty topics."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from deploy.jobs.topics import TopicSettings, provide_topics_with_retry
from shared.events.topics import ALL_TOPICS, CONSUMED_TOPICS, Topic, dead_letter_topic
from shared.kafka.group_offsets import committed_offsets
from shared.kafka.producer import Producer
from tests.support.harness import ConsumerHarness, create_test_topics, delete_test_topics, started_producer
from tests.support.service_process import PARTITIONS
from tests.support.serving import wait_until
from tools.sandbox.servers.kafka import FAST_START, kafka_server
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports


@pytest.fixture(scope="session", autouse=True)
def topics(kafka_servers: str) -> None:
    """The topics, created as in a deployment; with few partitions, so that groups form fast."""
    create_topics(kafka_servers, 3)


@pytest.fixture(scope="session")
def second_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka that one module of tests after the other has for itself."""
    with kafka_server(tmp_path_factory.mktemp("kafka"), *free_ports(2), java_options=FAST_START) as server:
        yield server.address


@pytest.fixture(scope="module")
def empty_kafka(second_kafka: str) -> str:
    """A Kafka with nothing on its topics before this module: a rebuild reads everything that was ever published."""
    asyncio.run(empty_topics(second_kafka))
    return second_kafka


async def empty_topics(servers: str) -> None:
    """Delete all topics and create them again. With a topic Kafka deletes what the consumers have committed."""
    await delete_test_topics(servers, *ALL_TOPICS)

    async def are_offsets_gone() -> bool:
        return not any([await committed_offsets(servers, group) for group in CONSUMED_TOPICS])

    await wait_until(are_offsets_gone)
    await provide_topics_with_retry(TopicSettings(kafka_bootstrap_servers=servers, kafka_partitions=PARTITIONS))


@pytest.fixture
async def kafka(kafka_servers: str) -> AsyncIterator[Producer]:
    """A producer that publishes what the services consume."""
    async with started_producer(kafka_servers) as producer:
        yield producer


@pytest.fixture
async def harness(kafka_servers: str) -> AsyncIterator[ConsumerHarness]:
    """A topic and a consumer group for one test."""
    group = f"test-{uuid4().hex}"
    topic = Topic(f"test.{group}", "test")
    await create_test_topics(kafka_servers, topic, dead_letter_topic(group), partitions=2)
    async with started_producer(kafka_servers) as producer:
        yield ConsumerHarness(kafka_servers, producer, topic, group)
