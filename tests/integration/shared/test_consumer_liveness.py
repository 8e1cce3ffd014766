"""Liveness and readiness say whether a consumer hangs, waits, or does its work, on a real broker."""

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

from shared.errors import StoreUnavailable
from shared.events import Event
from shared.events.cloudevents import encode
from shared.events.topics import SESSIONS, Topic, dead_letter_topic
from shared.kafka.producer import Producer
from shared.kafka.subscriber import ConsumerTimings
from tests.support.harness import (
    ConsumerHarness,
    completed_sessions,
    create_test_topics,
    delete_test_topics,
    is_not_alive,
    is_not_ready,
    is_ready,
    is_true,
)
from tests.support.serving import wait_until
from tools.sandbox.servers import kafka
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports

MIN_SESSION_TIMEOUT_MS = 6_000  # Kafka grants none that is shorter


async def test_readiness_follows_kafka_going_away_and_coming_back(tmp_path: Path) -> None:
    """Kafka is killed, not stopped; no event published before or after is missed."""
    with kafka.kafka_server(tmp_path, *free_ports(2), java_options=kafka.FAST_START) as broker:
        create_topics(broker.address, 1)
        producer = Producer(broker.address, "test")
        await producer.start()
        harness = ConsumerHarness(broker.address, producer, SESSIONS, "alliance")
        first, second = completed_sessions(2)
        client = harness.consumer(harness.handle_batch)
        async with client.run():
            await wait_until(lambda: is_ready(client))
            await harness.produce(encode(first))
            await wait_until(lambda: harness.has_handled(first))
            broker.kill()
            await wait_until(lambda: is_not_ready(client))
            assert client.is_alive()
            await asyncio.to_thread(broker.start)
            await wait_until(lambda: is_ready(client), timeout_seconds=60)
            await harness.produce(encode(second))
            await wait_until(lambda: harness.has_handled(first, second))
        await producer.stop()


async def test_a_consumer_waits_for_missing_topics_and_joins_once_they_exist(kafka_servers: str) -> None:
    group = f"test-{uuid4().hex}"
    topic = Topic(f"test.{group}", "test")
    producer = Producer(kafka_servers, "test")
    await producer.start()
    harness = ConsumerHarness(kafka_servers, producer, topic, group)
    client = harness.consumer(harness.handle_batch)
    async with client.run():
        assert client.is_alive()
        assert not client.is_ready()
        await create_test_topics(kafka_servers, topic, dead_letter_topic(group), partitions=1)
        await wait_until(lambda: is_ready(client))
        (event,) = completed_sessions(1)
        await harness.produce(encode(event))
        await wait_until(lambda: harness.has_handled(event))
    await producer.stop()


async def test_readiness_is_red_while_a_topic_is_deleted_and_a_topic_made_again_is_consumed_within_seconds(
    harness: ConsumerHarness,
) -> None:
    first, second = completed_sessions(2)
    client = harness.consumer(harness.handle_batch)
    async with client.run():
        await harness.produce(encode(first))
        await wait_until(lambda: harness.has_handled(first))
        await wait_until(lambda: is_ready(client))
        await delete_test_topics(harness.servers, harness.topic)
        await wait_until(lambda: is_true(harness.registry.get_sample_value("attune_kafka_connected") == 0))
        assert not client.is_ready()
        assert client.is_alive()
        await create_test_topics(harness.servers, harness.topic, partitions=2)
        await wait_until(lambda: is_ready(client))
        await harness.produce(encode(second))
        await wait_until(lambda: harness.has_handled(second))


async def test_a_handler_may_take_longer_than_the_session_timeout(
    harness: ConsumerHarness,
) -> None:
    """Heartbeats continue meanwhile: the batch is handled once, and committed."""
    harness.timings = ConsumerTimings(session_timeout_ms=MIN_SESSION_TIMEOUT_MS, heartbeat_interval_ms=1_000)
    events = completed_sessions(3)

    async def handle_slowly(batch: Sequence[Event]) -> None:
        await asyncio.sleep(MIN_SESSION_TIMEOUT_MS / 1000 + 2)
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events))
    async with harness.consumer(handle_slowly).run():
        await wait_until(lambda: harness.has_handled(*events))
    later = completed_sessions(1)
    await harness.produce(encode(later[0]))
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*later))

    assert harness.handled_ids == [event.id for event in (*events, *later)]


async def test_a_process_blocked_for_longer_than_the_session_timeout_recovers(
    harness: ConsumerHarness,
) -> None:
    """As when a machine is suspended: the group goes on without the process, and it rejoins by itself."""
    harness.timings = ConsumerTimings(session_timeout_ms=MIN_SESSION_TIMEOUT_MS, heartbeat_interval_ms=1_000)
    events, has_blocked = completed_sessions(4), False

    async def block_once(batch: Sequence[Event]) -> None:
        nonlocal has_blocked
        if not has_blocked:
            has_blocked = True
            time.sleep(MIN_SESSION_TIMEOUT_MS / 1000 + 2)  # noqa: ASYNC251 - the test is about a blocked event loop
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events[:3]))
    client = harness.consumer(block_once)
    async with client.run():
        await wait_until(lambda: harness.has_handled(*events[:3]))
        await harness.produce(encode(events[3]))
        await wait_until(lambda: harness.has_handled(*events))
        await wait_until(lambda: is_ready(client))


async def test_a_hanging_batch_turns_liveness_red(
    harness: ConsumerHarness,
) -> None:
    harness.timings = ConsumerTimings(max_poll_interval_ms=2_000)
    may_finish, events = asyncio.Event(), completed_sessions(1)

    async def hang(_: Sequence[Event]) -> None:
        await may_finish.wait()

    client = harness.consumer(hang)
    async with client.run():
        await wait_until(lambda: is_ready(client))
        assert client.is_alive()
        await harness.produce(encode(events[0]))
        await wait_until(lambda: is_not_alive(client))
        may_finish.set()


async def test_a_batch_that_waits_for_the_database_keeps_liveness_green(
    harness: ConsumerHarness,
) -> None:
    """However long the database is away, a consumer that retries is alive; so is an idle one."""
    harness.timings = ConsumerTimings(max_poll_interval_ms=2_000, max_retry_delay_seconds=0.2)
    back_at, (event,) = time.monotonic() + 5, completed_sessions(1)

    async def fail_until_back(batch: Sequence[Event]) -> None:
        if time.monotonic() < back_at:
            raise StoreUnavailable("away")
        await harness.handle_batch(batch)

    client = harness.consumer(fail_until_back)

    async def is_alive_and(condition: Callable[[], bool]) -> bool:
        assert client.is_alive()
        return condition()

    await harness.produce(encode(event))
    async with client.run():
        await wait_until(lambda: is_alive_and(lambda: bool(harness.handled_ids)))
        idle_since = time.monotonic()
        await wait_until(lambda: is_alive_and(lambda: time.monotonic() > idle_since + 3))
