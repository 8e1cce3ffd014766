"""Consumer lag is measured without the consumers, so the lag of a dead one is seen to grow."""

import time
from functools import partial

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from deploy.jobs.lag_exporter import LagMeasurement, LagSettings, create_app, lag_monitor
from deploy.jobs.topics import TopicSettings, create_topics
from shared.errors import BrokerUnavailable
from shared.events.cloudevents import encode
from shared.events.topics import CONSUMED_TOPICS, dead_letter_topic
from shared.kafka.producer import Message
from tests.support.harness import ConsumerHarness, completed_sessions
from tests.support.serving import run_app, wait_until
from tests.system.support.poison import publish_undecodable_record
from tools.contracts.documents import SERVICES, service_events


async def test_the_lag_of_a_stopped_consumer_grows_in_messages_and_in_time(harness: ConsumerHarness) -> None:
    started_at, group = time.time(), harness.group
    await _produce(harness, 9)
    await wait_until(partial(_can_measure, harness.servers, group))
    async with lag_monitor(harness.servers, {group: (harness.topic,)}) as monitor:
        before_joining = await monitor.measure()

        assert _total_lag(before_joining) == 9
        assert before_joining.members == {group: 0}
        assert all(started_at - 1 <= timestamp <= time.time() for timestamp in _oldest_timestamps(before_joining))

        async def has_caught_up() -> bool:
            measurement = await monitor.measure()
            has_lag = _total_lag(measurement) > 0 or _oldest_timestamps(measurement)
            return not has_lag and measurement.members == {group: 1}

        async with harness.consumer(harness.handle_batch).run():
            await wait_until(has_caught_up)

        await _produce(harness, 4)
        after_leaving = await monitor.measure()
        again = await monitor.measure()

    assert len(harness.handled_ids) == 9
    assert _total_lag(after_leaving) == 4
    assert after_leaving.members == {group: 0}
    assert sorted(_oldest_timestamps(again)) == sorted(_oldest_timestamps(after_leaving)), (
        "the oldest message stays the same while nobody consumes it"
    )


async def test_a_record_that_cannot_be_decoded_counts_as_lag(harness: ConsumerHarness) -> None:
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await wait_until(partial(_can_measure, harness.servers, harness.group))

    async with lag_monitor(harness.servers, {harness.group: (harness.topic,)}) as monitor:
        first = await monitor.measure()
        again = await monitor.measure()

    assert _total_lag(first) == _total_lag(again) == 1
    assert _oldest_timestamps(first) == _oldest_timestamps(again) != []


async def test_the_marker_of_a_transaction_is_no_lag_and_hides_no_other_partition(harness: ConsumerHarness) -> None:
    """A consumer commits up to the marker at the end of a partition, and not past it."""
    (event,) = completed_sessions(1)
    transactional = AIOKafkaProducer(bootstrap_servers=harness.servers, transactional_id=harness.group)
    async with transactional, transactional.transaction():
        await transactional.send_and_wait(harness.topic.name, encode(event), partition=0)
    committed = {TopicPartition(harness.topic.name, 0): 1}
    async with AIOKafkaConsumer(
        bootstrap_servers=harness.servers, group_id=harness.group, enable_auto_commit=False
    ) as member:
        member.assign(list(committed))
        await member.commit(committed)
    await harness.producer.send([Message(harness.topic.name, b"a key", encode(event), partition=1)])

    async with lag_monitor(harness.servers, {harness.group: (harness.topic,)}) as monitor:
        measurement = await monitor.measure()

    lags = {partition.partition: lag for (_, partition), lag in measurement.lags.items()}
    assert (lags[0].messages, lags[0].oldest_timestamp) == (0, None)
    assert lags[1].messages == 1
    assert lags[1].oldest_timestamp is not None


async def test_lag_is_exported_by_group_and_topic(kafka_servers: str) -> None:
    await create_topics(TopicSettings(kafka_bootstrap_servers=kafka_servers, kafka_partitions=2))
    app = create_app(LagSettings(kafka_bootstrap_servers=kafka_servers, lag_check_seconds=0.2))
    async with run_app(app) as client:
        families = {f.name: f.samples for f in text_string_to_metric_families((await client.get_ops("/metrics")).text)}

    group_topics = {(s.labels["group"], s.labels["topic"]) for s in families["attune_consumer_lag_seconds"]}
    assert group_topics == {(group, topic.name) for group, topics in CONSUMED_TOPICS.items() for topic in topics}
    assert {s.labels["group"] for s in families["attune_consumer_members"]} == set(CONSUMED_TOPICS)
    assert dead_letter_topic("notify").name in {s.labels["topic"] for s in families["attune_topic_messages"]}


def test_the_lag_of_every_consumer_is_measured_on_every_topic_it_consumes() -> None:
    consumed_topics = {
        service: {event_type.TOPIC for event_type in service_events(service).consumed} for service in SERVICES
    }

    assert {group: set(topics) for group, topics in CONSUMED_TOPICS.items()} == {
        s: t for s, t in consumed_topics.items() if t
    }


async def _can_measure(servers: str, group: str) -> bool:
    """A new cluster has no groups at first, and the first request about groups fails."""
    try:
        async with lag_monitor(servers, {group: ()}) as monitor:
            await monitor.measure()
    except BrokerUnavailable:
        return False
    return True


def _total_lag(measurement: LagMeasurement) -> int:
    return sum(lag.messages for lag in measurement.lags.values())


def _oldest_timestamps(measurement: LagMeasurement) -> list[float]:
    return [lag.oldest_timestamp for lag in measurement.lags.values() if lag.oldest_timestamp is not None]


async def _produce(harness: ConsumerHarness, count: int) -> None:
    """Send events with keys of their own, so that they are on all partitions."""
    values = [encode(event) for event in completed_sessions(count)]
    await harness.producer.send([Message(harness.topic.name, str(n).encode(), value) for n, value in enumerate(values)])
