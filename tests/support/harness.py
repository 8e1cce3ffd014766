"""A topic and a consumer group for one test."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from shared.events import Event, SessionCompleted
from shared.events.topics import Topic, dead_letter_topic
from shared.kafka import Kafka
from shared.kafka.admin import missing_topics
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Header, Message, Producer
from shared.kafka.subscriber import ConsumerTimings
from shared.runtime.clock import now
from shared.runtime.settings import KafkaOptions
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until


@dataclass
class ConsumerHarness:
    """A topic with two partitions and a consumer group that nobody else uses."""

    servers: str
    producer: Producer
    topic: Topic
    group: str
    handled_ids: list[UUID] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """The metrics of the latest consumer."""
    timings: ConsumerTimings = field(default_factory=ConsumerTimings)

    def consumer(
        self,
        handler: Callable[[Sequence[Event]], object],
        batch_size: int = 10,
        clock: Callable[[], datetime] = now,
    ) -> Kafka:
        self.registry = CollectorRegistry()
        client = Kafka(
            KafkaOptions(self.servers, batch_size), self.group, KafkaMetrics(self.registry), clock, self.timings
        )
        client.subscribe(self.topic, event_types=(SessionCompleted,), handler=handler)  # type: ignore[arg-type]
        return client

    async def handle_batch(self, events: Sequence[Event]) -> None:
        self.handled_ids += [event.id for event in events]

    async def produce(self, *values: bytes, headers: Sequence[Header] = ()) -> None:
        """Send all values to one partition, in this order."""
        await self.producer.send([Message(self.topic.name, b"one key", value, headers) for value in values])

    async def has_handled(self, *events: Event) -> bool:
        return {event.id for event in events} <= set(self.handled_ids)

    async def has_dead_lettered(self, count: int) -> bool:
        """Whether there are exactly so many dead letters."""
        return len(await read_records(self.servers, dead_letter_topic(self.group))) == count

    def stalled_partitions(self) -> float | None:
        """How many partitions of the topic the latest consumer reports as standing still."""
        return self.registry.get_sample_value("attune_stalled_partitions", {"topic": self.topic.name})


@asynccontextmanager
async def started_producer(servers: str) -> AsyncIterator[Producer]:
    """A producer that is connected while the context is open."""
    producer = Producer(servers, "test")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def create_test_topics(servers: str, *topics: Topic, partitions: int) -> None:
    """Create topics, and wait until every client can see them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic.name, partitions, 1) for topic in topics])
    await admin.close()

    async def exist() -> bool:  # a broker answers before it knows the topics itself
        return not await missing_topics(servers, topics)

    await wait_until(exist)


async def delete_test_topics(servers: str, *topics: Topic) -> None:
    """Delete topics, and wait until no client can see them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.delete_topics([topic.name for topic in topics])
    await admin.close()

    async def are_gone() -> bool:
        return len(await missing_topics(servers, topics)) == len(topics)

    await wait_until(are_gone)


def completed_sessions(count: int) -> list[SessionCompleted]:
    relationship = RelationshipBuilder()
    return [relationship.completed(week) for week in range(count)]


def aiokafka_consumer(member: Kafka) -> AIOKafkaConsumer | None:
    """The aiokafka consumer, as faststream exposes it; None while the member has none."""
    return member.consumer.subscriber.consumer if member.consumer and member.consumer.subscriber else None


# Conditions to wait for.


async def is_true(value: object) -> bool:
    return bool(value)


async def is_ready(client: Kafka) -> bool:
    return client.is_ready()


async def is_not_ready(client: Kafka) -> bool:
    return not client.is_ready()


async def is_not_alive(client: Kafka) -> bool:
    return not client.is_alive()
