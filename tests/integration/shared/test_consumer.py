"""The promises of the consumer when things break, each on a real broker."""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from shared.errors import StoreUnavailable
from shared.events import Event, SessionCompleted
from shared.events.cloudevents import encode
from shared.events.topics import SESSIONS, Topic, dead_letter_topic
from shared.kafka import Kafka
from shared.kafka.consumer import MAX_CONSECUTIVE_DECODE_ERRORS
from shared.kafka.dead_letters.record import ERROR_HEADER, OMITTED_HEADER, ORIGIN_HEADER
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Message, Producer
from shared.kafka.subscriber import ConsumerTimings
from shared.runtime.clock import now
from tests.support.harness import ConsumerHarness, completed_sessions, create_test_topics
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until
from tests.system.support.poison import publish_undecodable_record
from tools.sandbox.servers import kafka
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports

MIN_SESSION_TIMEOUT_MS = 6_000  # Kafka grants none that is shorter


async def test_a_failing_batch_is_retried_in_order_until_it_succeeds(harness: ConsumerHarness) -> None:
    events, tries = completed_sessions(6), 0

    async def fail_at_first(batch: Sequence[Event]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise StoreUnavailable("away")
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events))
    async with harness.consumer(fail_at_first).run():
        await wait_until(lambda: harness.has_handled(*events))

    assert harness.handled_ids == [event.id for event in events]
    assert tries > 3


async def test_one_reachable_bootstrap_server_is_enough_to_start(harness: ConsumerHarness) -> None:
    events = completed_sessions(1)
    harness.servers = f"127.0.0.1:{free_ports(1)[0]},{harness.servers}"

    await harness.produce(*map(encode, events))
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))


async def test_a_bug_in_a_handler_loses_no_event(harness: ConsumerHarness) -> None:
    events, broken, tries = completed_sessions(3), True, 0

    async def fail_while_broken(batch: Sequence[Event]) -> None:
        nonlocal tries
        tries += 1
        if broken:
            raise ZeroDivisionError
        await harness.handle_batch(batch)

    async def has_tried_thrice() -> bool:
        return tries >= 3

    await harness.produce(*map(encode, events))
    async with harness.consumer(fail_while_broken).run():
        await wait_until(has_tried_thrice)
    broken = False
    async with harness.consumer(fail_while_broken).run():  # the bug is fixed and the service restarted
        await wait_until(lambda: harness.has_handled(*events))


async def test_a_header_that_is_not_utf8_does_not_affect_other_messages(harness: ConsumerHarness) -> None:
    events = completed_sessions(3)
    await harness.produce(encode(events[0]))
    await harness.produce(encode(events[1]), headers=[("trace", b"\xff\xfe\xfd")])
    await harness.produce(encode(events[2]))

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))


async def test_an_unrequested_cancellation_does_not_stop_the_consumer(harness: ConsumerHarness) -> None:
    events, has_cancelled = completed_sessions(3), False

    async def cancel_once(batch: Sequence[Event]) -> None:
        nonlocal has_cancelled
        if not has_cancelled:
            has_cancelled = True
            raise asyncio.CancelledError
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events))
    client = harness.consumer(cancel_once)
    async with client.run():
        await wait_until(lambda: harness.has_handled(*events))
        assert client.is_alive()


async def test_a_message_that_cannot_be_decoded_is_dead_lettered_and_the_rest_is_handled(
    harness: ConsumerHarness,
) -> None:
    events = completed_sessions(5)
    await harness.produce(*map(encode, events), b"poison")

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))

    (dead_letter,) = await read_records(harness.servers, dead_letter_topic(harness.group))
    headers = dict(dead_letter.headers)
    assert (dead_letter.key, dead_letter.value) == (b"one key", b"poison")
    assert headers[ERROR_HEADER] == b"message: is not JSON"
    assert headers[ORIGIN_HEADER].decode().endswith("/5")


async def test_the_largest_message_that_kafka_accepts_blocks_no_other(harness: ConsumerHarness) -> None:
    """With our headers its dead letter would be larger than Kafka accepts, so the content stays at the origin."""
    producer = AIOKafkaProducer(bootstrap_servers=harness.servers, compression_type="gzip", max_request_size=4_000_000)
    await producer.start()
    await producer.send_and_wait(harness.topic.name, b"x" * 3_000_000, key=b"large")
    await producer.send_and_wait(harness.topic.name, b"y" * 1_048_400, key=b"nearly as large")
    await producer.stop()
    events = completed_sessions(1)
    await harness.produce(*map(encode, events))

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))

    dead_letter_records = await read_records(harness.servers, dead_letter_topic(harness.group))
    assert {record.key: record.value for record in dead_letter_records} == {b"large": None, b"nearly as large": None}
    for record in dead_letter_records:
        assert "SHA-256" in dict(record.headers)[OMITTED_HEADER].decode()


async def test_readiness_follows_kafka_going_away_and_coming_back(tmp_path: Path) -> None:
    """Kafka is killed, not stopped; no event published before or after is missed."""
    with kafka.kafka_server(tmp_path, *free_ports(2)) as broker:
        create_topics(broker.address, 1)
        producer = Producer(broker.address, "test")
        await producer.start()
        harness = ConsumerHarness(broker.address, producer, SESSIONS, "alliance")
        first, second = completed_sessions(2)
        client = harness.consumer(harness.handle_batch)
        async with client.run():
            await wait_until(lambda: _is_ready(client))
            await harness.produce(encode(first))
            await wait_until(lambda: harness.has_handled(first))
            broker.kill()
            await wait_until(lambda: _is_not_ready(client))
            assert client.is_alive()
            await asyncio.to_thread(broker.start)
            await wait_until(lambda: _is_ready(client), timeout_seconds=60)
            await harness.produce(encode(second))
            await wait_until(lambda: harness.has_handled(first, second))
        await producer.stop()


async def test_when_no_message_can_be_decoded_the_consumer_stops_and_liveness_is_red(harness: ConsumerHarness) -> None:
    await harness.produce(*[b"poison"] * (MAX_CONSECUTIVE_DECODE_ERRORS + 1))
    client = harness.consumer(harness.handle_batch, batch_size=50)

    async with client.run():
        await wait_until(lambda: _is_not_alive(client))

    dead_letter_records = await read_records(harness.servers, dead_letter_topic(harness.group))
    assert len(dead_letter_records) <= MAX_CONSECUTIVE_DECODE_ERRORS


async def test_a_stopping_consumer_finishes_and_commits_its_batch(harness: ConsumerHarness) -> None:
    """Stopped in the middle of a batch: the batch is finished, and the next member does not receive it."""
    events = completed_sessions(4)
    has_started, may_finish = asyncio.Event(), asyncio.Event()

    async def handle_slowly(batch: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events))
    async with AsyncExitStack() as first:
        await first.enter_async_context(harness.consumer(handle_slowly).run())
        await has_started.wait()
        asyncio.get_running_loop().call_later(0.3, may_finish.set)  # while it is already leaving
    assert harness.handled_ids == [event.id for event in events]

    later = completed_sessions(1)
    await harness.produce(encode(later[0]))
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*later))
    assert len(harness.handled_ids) == len(events) + 1


async def test_a_partition_is_reassigned_only_after_its_batch_is_committed(harness: ConsumerHarness) -> None:
    """A second member joins in the middle of a batch and does not receive it, because it is committed first."""
    events = completed_sessions(4)
    has_started, may_finish = asyncio.Event(), asyncio.Event()

    async def handle_slowly(batch: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events))
    async with AsyncExitStack() as members:
        await members.enter_async_context(harness.consumer(handle_slowly).run())
        await has_started.wait()
        second = harness.consumer(harness.handle_batch)
        await members.enter_async_context(second.run())
        asyncio.get_running_loop().call_later(4, may_finish.set)  # after a heartbeat: the first one knows of the second
        await wait_until(lambda: _is_ready(second))
        await wait_until(lambda: harness.has_handled(*events))
    assert sorted(harness.handled_ids) == sorted(event.id for event in events)


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
        await wait_until(lambda: _is_ready(client))
        (event,) = completed_sessions(1)
        await harness.produce(encode(event))
        await wait_until(lambda: harness.has_handled(event))
    await producer.stop()


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
            time.sleep(MIN_SESSION_TIMEOUT_MS / 1000 + 2)  # noqa: ASYNC251 - blocking is what this is about
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events[:3]))
    client = harness.consumer(block_once)
    async with client.run():
        await wait_until(lambda: harness.has_handled(*events[:3]))
        await harness.produce(encode(events[3]))
        await wait_until(lambda: harness.has_handled(*events))
        await wait_until(lambda: _is_ready(client))


async def test_a_hanging_batch_turns_liveness_red(
    harness: ConsumerHarness,
) -> None:
    harness.timings = ConsumerTimings(max_poll_interval_ms=2_000)
    may_finish, events = asyncio.Event(), completed_sessions(1)

    async def hang(_: Sequence[Event]) -> None:
        await may_finish.wait()

    client = harness.consumer(hang)
    async with client.run():
        await wait_until(lambda: _is_ready(client))
        assert client.is_alive()
        await harness.produce(encode(events[0]))
        await wait_until(lambda: _is_not_alive(client))
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


async def test_a_failed_commit_is_counted_and_the_batch_is_delivered_again(
    harness: ConsumerHarness,
) -> None:
    """A member that exceeds the poll interval loses its partitions to another one, and logs it."""
    harness.timings = ConsumerTimings(max_poll_interval_ms=2_000, heartbeat_interval_ms=500)
    events, has_started, may_finish = completed_sessions(3), asyncio.Event(), asyncio.Event()

    async def handle_too_slowly(batch: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events))
    async with AsyncExitStack() as members:
        slow_member = harness.consumer(handle_too_slowly)
        slow_registry = harness.registry
        await members.enter_async_context(slow_member.run())
        await has_started.wait()
        await members.enter_async_context(harness.consumer(harness.handle_batch).run())
        await wait_until(lambda: harness.has_handled(*events))
        may_finish.set()

        async def has_failed_to_commit() -> bool:
            labels = {"error": "CommitFailedError"}
            return (slow_registry.get_sample_value("attune_batch_retries_total", labels) or 0) >= 1

        await wait_until(has_failed_to_commit)
        await wait_until(lambda: _is_true(slow_member.is_alive() and slow_member.is_ready()))
        later = [completed_sessions(1)[0] for _ in range(4)]
        await harness.producer.send(
            [Message(harness.topic.name, None, encode(event), partition=n % 2) for n, event in enumerate(later)]
        )
        await wait_until(lambda: harness.has_handled(*later))


async def test_a_batch_that_exceeds_the_drain_timeout_is_cancelled_and_delivered_again(
    harness: ConsumerHarness,
) -> None:
    harness.timings = ConsumerTimings(drain_timeout_seconds=1.0)
    events, has_started = completed_sessions(3), asyncio.Event()

    async def hang(_: Sequence[Event]) -> None:
        has_started.set()
        await asyncio.Event().wait()

    await harness.produce(*map(encode, events))
    async with asyncio.timeout(20):
        async with harness.consumer(hang).run():
            await has_started.wait()
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))


async def test_retries_are_paced_by_backoff(harness: ConsumerHarness) -> None:
    """Also after the loop has rewound and polls the same batch again."""
    tries, started_at = 0, 0.0

    async def fail(_: Sequence[Event]) -> None:
        nonlocal tries, started_at
        tries, started_at = tries + 1, started_at or time.monotonic()
        raise StoreUnavailable("away")

    await harness.produce(encode(completed_sessions(1)[0]))
    harness.timings = ConsumerTimings(retry_timeout_seconds=0.5)
    async with harness.consumer(fail).run():
        await wait_until(lambda: _is_true(started_at and time.monotonic() > started_at + 3))
    assert 4 < tries < 60


async def test_a_batch_is_in_order_and_no_larger_than_the_batch_size(harness: ConsumerHarness) -> None:
    events, sizes = [event for _ in range(10) for event in completed_sessions(5)], []

    async def handle_batch(batch: Sequence[Event]) -> None:
        sizes.append(len(batch))
        await harness.handle_batch(batch)

    await harness.produce(*map(encode, events))
    async with harness.consumer(handle_batch, batch_size=7).run():
        await wait_until(lambda: harness.has_handled(*events))

    assert max(sizes) <= 7
    assert harness.handled_ids == [event.id for event in events]


async def test_events_of_one_key_are_published_in_order_on_one_partition(harness: ConsumerHarness) -> None:
    keys = [f"key {n}".encode() for n in range(20)]
    sent = [(key, f"{n}".encode()) for n in range(30) for key in keys]

    await harness.producer.send([Message(harness.topic.name, key, value) for key, value in sent])

    all_records = await read_records(harness.servers, harness.topic)
    for key in keys:
        key_records = [record for record in all_records if record.key == key]
        assert len({record.partition for record in key_records}) == 1
        assert [record.value for record in key_records] == [value for k, value in sent if k == key]
    assert {record.partition for record in all_records} == {0, 1}, "keys are spread"


async def test_members_beyond_the_partitions_wait_and_take_over(harness: ConsumerHarness) -> None:
    first, second, spare = (harness.consumer(harness.handle_batch) for _ in range(3))
    async with AsyncExitStack() as members:
        for member in (second, spare):
            await members.enter_async_context(member.run())
        async with first.run():
            for member in (first, second, spare):
                await wait_until(lambda member=member: _is_ready(member))  # type: ignore[misc]
        events = completed_sessions(4)
        await harness.producer.send(
            [Message(harness.topic.name, None, encode(event), partition=n % 2) for n, event in enumerate(events)]
        )
        await wait_until(lambda: harness.has_handled(*events))
        assert second.is_alive()
        assert spare.is_alive()


async def test_one_member_is_assigned_the_same_partition_numbers_of_all_topics(kafka_servers: str) -> None:
    """So one member consumes all events of a relationship, whatever their topic."""
    group = f"test-{uuid4().hex}"
    topics = [Topic(f"test.{group}.{n}", "test") for n in range(3)]
    await create_test_topics(kafka_servers, *topics, dead_letter_topic(group), partitions=4)

    async def ignore(_: Sequence[Event]) -> None:
        pass

    members = [Kafka(kafka_servers, group, KafkaMetrics(CollectorRegistry()), now) for _ in range(2)]
    async with AsyncExitStack() as running:
        for member in members:
            member.subscribe(*topics, event_types=(SessionCompleted,), handler=ignore)
            await running.enter_async_context(member.run())

        async def is_balanced() -> bool:
            return [len(_assigned_partitions(member)) for member in members] == [6, 6]

        await wait_until(is_balanced)
        for member in members:
            numbers = {topic.name: {p for t, p in _assigned_partitions(member) if t == topic.name} for topic in topics}
            assert len({frozenset(of_topic) for of_topic in numbers.values()}) == 1


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_codec_can_be_read(harness: ConsumerHarness, codec: str) -> None:
    events = completed_sessions(3)
    async with AIOKafkaProducer(bootstrap_servers=harness.servers, compression_type=codec) as producer:
        for event in events:
            await producer.send_and_wait(harness.topic.name, encode(event), key=b"one key")

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))


async def test_a_record_that_the_client_cannot_decode_stops_the_consumer_and_loses_no_other(
    harness: ConsumerHarness,
) -> None:
    """A header name that is not UTF-8: the client cannot return the record, so it cannot be dead-lettered."""
    before, on_other_partition, after = completed_sessions(3), completed_sessions(4), completed_sessions(2)
    has_started, may_finish = asyncio.Event(), asyncio.Event()

    async def handle_slowly(events: Sequence[Event]) -> None:
        has_started.set()
        await may_finish.wait()
        await harness.handle_batch(events)

    await _produce(harness, 0, *on_other_partition[:1])
    client = harness.consumer(handle_slowly, batch_size=100)
    with capture_logs() as log_entries:
        async with client.run():
            await has_started.wait()
            # aiokafka has the next of partition 0 in hand when it comes upon the record
            await _produce(harness, 0, *on_other_partition[1:])
            await wait_until(lambda: _is_fetched(client, harness, 0, len(on_other_partition)))
            await _produce(harness, 1, *before)
            await publish_undecodable_record(harness.servers, harness.topic.name, 1)
            await _produce(harness, 1, *after)
            await wait_until(lambda: _is_fetched(client, harness, 1, len(before) + 1 + len(after)))
            may_finish.set()
            await wait_until(lambda: _is_not_alive(client))

    assert await harness.has_handled(*on_other_partition, *before)
    assert not await harness.has_handled(after[0])
    assert [line["reason"] for line in log_entries if line["event"] == "Consumer stopped"] == [
        f"record {harness.topic.name}/1/3 cannot be decoded by the client"
    ]

    await _reset_offset(harness, 1, to=4)
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*after))
    assert len(harness.handled_ids) == len(set(harness.handled_ids)) == 9


async def test_the_batch_of_a_killed_process_is_handled_by_the_next(harness: ConsumerHarness) -> None:
    events = completed_sessions(3)
    await harness.produce(*map(encode, events))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.hanging_consumer", harness.servers, harness.topic.name, harness.group),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert b"handling" in await asyncio.wait_for(process.stdout.readuntil(b"handling"), 30)
    finally:
        process.kill()
        await process.wait()

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(
            lambda: harness.has_handled(*events), timeout_seconds=60
        )  # once the session of the killed one has ended


def _consumer_of(member: Kafka) -> AIOKafkaConsumer | None:
    """The aiokafka consumer, as faststream exposes it."""
    return member.consumer.subscriber.consumer if member.consumer and member.consumer.subscriber else None


def _assigned_partitions(member: Kafka) -> set[tuple[str, int]]:
    consumer = _consumer_of(member)
    return set(consumer.assignment()) if consumer else set()


async def _produce(harness: ConsumerHarness, partition: int, *events: Event) -> None:
    await harness.producer.send([Message(harness.topic.name, b"a key", encode(e), partition=partition) for e in events])


async def _is_fetched(client: Kafka, harness: ConsumerHarness, partition: int, end_offset: int) -> bool:
    """A fetch response carries the end of its partition, so the client has buffered everything before it."""
    consumer = _consumer_of(client)
    assert consumer
    return bool((consumer.highwater(TopicPartition(harness.topic.name, partition)) or 0) >= end_offset)


async def _reset_offset(harness: ConsumerHarness, partition: int, to: int) -> None:
    """Commit an offset as `kafka-consumer-groups --reset-offsets` does, while the group has no member."""
    topic_partition = TopicPartition(harness.topic.name, partition)
    admin = AIOKafkaConsumer(bootstrap_servers=harness.servers, group_id=harness.group, enable_auto_commit=False)
    async with admin:
        admin.assign([topic_partition])
        await admin.commit({topic_partition: to})


async def _is_true(value: object) -> bool:
    return bool(value)


async def _is_not_alive(client: Kafka) -> bool:
    return not client.is_alive()


async def _is_not_ready(client: Kafka) -> bool:
    return not client.is_ready()


async def _is_ready(client: Kafka) -> bool:
    return client.is_ready()
