"""How far consumers are behind can be seen without them, and a dead one is seen to fall behind."""

import time
from collections.abc import Sequence
from functools import partial
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from deploy.jobs.lag_exporter import LagSettings, Measured, create_app, meter
from deploy.jobs.topics import TopicSettings
from deploy.jobs.topics import create as create_topics
from shared.errors import BrokerUnavailable
from shared.events import Event, SessionCompleted
from shared.events.cloudevents import encode
from shared.events.topics import HEARD_BY, Topic, dead_letters
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Message, Producer
from shared.runtime.clock import now
from tests.support.builders import Told
from tests.support.harness import Room
from tests.support.serving import served, until
from tests.system.support.poison import plant_unreadable
from tools.contracts.documents import SERVICES, role


async def test_a_consumer_that_is_gone_falls_behind_in_messages_and_in_time(kafka_servers: str) -> None:
    group = f"test-{uuid4().hex}"
    topic = Topic(f"test.{group}", "test")
    await _make(kafka_servers, topic, dead_letters(group))
    producer = Producer(kafka_servers, "test")
    await producer.start()
    relationship = Told()
    handled: list[Event] = []

    async def take(events: Sequence[Event]) -> None:
        handled.extend(events)

    async def tell(count: int) -> None:
        values = [encode(relationship.held(week)) for week in range(count)]
        await producer.send([Message(topic.name, str(n).encode(), value) for n, value in enumerate(values)])

    started_at = time.time()
    await tell(9)
    await until(partial(_can_be_asked, kafka_servers, group))
    async with meter(kafka_servers, {group: (topic,)}) as monitor:
        before_joining = await monitor.measure()

        assert _behind(before_joining) == 9
        assert before_joining.members == {group: 0}
        assert all(started_at - 1 <= relationship <= time.time() for relationship in _oldest(before_joining))

        consumer = Kafka(kafka_servers, group, KafkaMetrics(CollectorRegistry()), now)
        consumer.hear(topic, kinds=(SessionCompleted,), batch=take)
        async with consumer.running():

            async def caught_up() -> bool:
                measurement = await monitor.measure()
                return _behind(measurement) == 0 and measurement.members == {group: 1} and not _oldest(measurement)

            await until(caught_up)

        await tell(4)
        after_leaving = await monitor.measure()
        again = await monitor.measure()

    await producer.stop()
    assert len(handled) == 9
    assert _behind(after_leaving) == 4
    assert after_leaving.members == {group: 0}
    assert sorted(_oldest(again)) == sorted(_oldest(after_leaving)), "the oldest stays the oldest while nobody takes it"


async def test_what_nobody_can_read_ages_like_anything_else(room: Room) -> None:
    await plant_unreadable(room.servers, room.topic.name, 1)
    await until(partial(_can_be_asked, room.servers, room.group))

    async with meter(room.servers, {room.group: (room.topic,)}) as monitor:
        first = await monitor.measure()
        again = await monitor.measure()

    assert _behind(first) == _behind(again) == 1
    assert _oldest(first) == _oldest(again) != []


async def test_what_is_shown_says_who_is_behind_where(kafka_servers: str) -> None:
    await create_topics(TopicSettings(kafka_bootstrap_servers=kafka_servers, kafka_partitions=2))
    app = create_app(LagSettings(kafka_bootstrap_servers=kafka_servers, lag_check_seconds=0.2))
    async with served(app) as client:
        families = {f.name: f.samples for f in text_string_to_metric_families((await client.get("/metrics")).text)}

    group_topics = {(s.labels["group"], s.labels["topic"]) for s in families["attune_consumer_lag_seconds"]}
    assert group_topics == {(group, topic.name) for group, topics in HEARD_BY.items() for topic in topics}
    assert {s.labels["group"] for s in families["attune_consumer_members"]} == set(HEARD_BY)
    assert dead_letters("notify").name in {s.labels["topic"] for s in families["attune_topic_messages"]}


def test_every_consumer_is_watched_on_every_topic_that_it_hears() -> None:
    consumed_topics = {service: {event_type.TOPIC for event_type in role(service).hears} for service in SERVICES}

    assert {group: set(topics) for group, topics in HEARD_BY.items()} == {s: t for s, t in consumed_topics.items() if t}


async def _can_be_asked(servers: str, group: str) -> bool:
    """A new cluster knows of no groups at first, and says so when it is first asked."""
    try:
        async with meter(servers, {group: ()}) as monitor:
            await monitor.measure()
    except BrokerUnavailable:
        return False
    return True


def _behind(measured: Measured) -> int:
    return sum(lag.messages for lag in measured.behind.values())


def _oldest(measured: Measured) -> list[float]:
    return [lag.oldest for lag in measured.behind.values() if lag.oldest is not None]


async def _make(servers: str, *topics: Topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(topic.name, num_partitions=2, replication_factor=1) for topic in topics])
    await admin.close()
