"""Members of a consumer group join, leave and die, and no event is lost, on a real broker."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import uuid4

from prometheus_client import CollectorRegistry

from shared.events import Event, SessionCompleted
from shared.events.cloudevents import encode
from shared.events.topics import Topic, dead_letter_topic
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Message
from shared.kafka.subscriber import ConsumerTimings
from shared.runtime.clock import now
from shared.runtime.settings import KafkaOptions
from tests.support.harness import (
    ConsumerHarness,
    aiokafka_consumer,
    completed_sessions,
    create_test_topics,
    is_ready,
    is_true,
)
from tests.support.serving import wait_until


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
        await wait_until(lambda: is_ready(second))
        await wait_until(lambda: harness.has_handled(*events))
    assert sorted(harness.handled_ids) == sorted(event.id for event in events)


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
        await wait_until(lambda: is_true(slow_member.is_alive() and slow_member.is_ready()))
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


async def test_members_beyond_the_partitions_wait_and_take_over(harness: ConsumerHarness) -> None:
    first, second, spare = (harness.consumer(harness.handle_batch) for _ in range(3))
    async with AsyncExitStack() as members:
        for member in (second, spare):
            await members.enter_async_context(member.run())
        async with first.run():
            for member in (first, second, spare):
                await wait_until(lambda member=member: is_ready(member))  # type: ignore[misc]
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

    members = [Kafka(KafkaOptions(kafka_servers), group, KafkaMetrics(CollectorRegistry()), now) for _ in range(2)]
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


def _assigned_partitions(member: Kafka) -> set[tuple[str, int]]:
    consumer = aiokafka_consumer(member)
    return set(consumer.assignment()) if consumer else set()
