"""Reading topics from the beginning, outside every consumer group: what a consumer handled, and nothing else."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.jobs.topics import stamp_on_append
from shared.events import Event, SessionCompleted
from shared.events.cloudevents import encode
from shared.kafka.dead_letters.skip import Skip, skip
from shared.kafka.dead_letters.topic import dead_letters_of, discard, redrive
from shared.kafka.event_reader import EventReader, PartitionSlice
from shared.kafka.group_offsets import Offsets, has_caught_up
from shared.kafka.producer import Message
from shared.kafka.topic_reader import TopicReader
from shared.runtime.clock import now
from tests.support.harness import (
    ConsumerHarness,
    completed_sessions,
    create_test_topics,
    delete_test_topics,
)
from tests.support.serving import wait_until
from tests.system.support.poison import publish_undecodable_record

PARTITION = 1


async def test_only_a_record_that_the_client_cannot_decode_is_omitted(harness: ConsumerHarness) -> None:
    """The name of a header is not UTF-8: aiokafka drops fetched records of other partitions as well."""
    events = completed_sessions(12)

    async def produce(partition: int, *sessions: SessionCompleted) -> None:
        await harness.producer.send(
            [Message(harness.topic.name, b"key", encode(e), partition=partition) for e in sessions]
        )

    await produce(1, *events[:3])
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await produce(1, *events[3:6])
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await produce(0, *events[6:])
    offsets: Offsets = {}

    async with EventReader(harness.servers, [harness.topic], (SessionCompleted,)) as reader:
        found = [recorded.event.id async for batch in reader.read(PartitionSlice(1), offsets) for recorded in batch]
        found += [recorded.event.id async for batch in reader.read(PartitionSlice(0), {}) for recorded in batch]
        again = [recorded async for batch in reader.read(PartitionSlice(1), offsets) for recorded in batch]
        unread = await reader.list_unread()

    assert found == [event.id for event in events]
    assert (offsets, again) == ({harness.topic.name: 9}, [])
    assert unread == [f"records on {harness.topic.name}/1 cannot be decoded by the client"]


async def test_when_an_event_arrived_is_what_kafka_says_and_not_the_clock_of_a_sender_or_a_consumer(
    harness: ConsumerHarness,
) -> None:
    await stamp_on_append(harness.servers, [harness.topic.name])
    event, ahead = completed_sessions(2)
    future = _dated(ahead, now() + timedelta(days=3))
    await _send(harness, event, future, sent_at=now() - timedelta(days=4000))

    async with harness.consumer(harness.handle_batch, clock=lambda: now() - timedelta(days=4000)).run():
        await wait_until(lambda: harness.has_handled(event))
        await wait_until(lambda: harness.has_dead_lettered(1))

    assert harness.handled_ids == await _read(harness) == [event.id]


async def test_an_event_that_kafka_did_not_stamp_is_what_its_consumer_decided(harness: ConsumerHarness) -> None:
    """The sender's clock was three days behind, and a consumer's clock was ten years behind."""
    accepted, rejected = completed_sessions(2)
    await _send(harness, _dated(accepted, now()), sent_at=now() - timedelta(days=3))
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(accepted))
    await _send(harness, _dated(rejected, now()), sent_at=now())
    async with harness.consumer(harness.handle_batch, clock=lambda: now() - timedelta(days=3650)).run():
        await wait_until(lambda: harness.has_dead_lettered(1))

    assert harness.handled_ids == await _read(harness) == [accepted.id]


async def test_what_was_dead_lettered_is_read_only_where_it_was_redriven(harness: ConsumerHarness) -> None:
    handled, redriven, discarded, kept = events = completed_sessions(4)
    await _send(harness, *events)

    async def fail(batch: Sequence[Event]) -> None:
        if {redriven.id, discarded.id, kept.id} & {event.id for event in batch}:
            raise OverflowError
        await harness.handle_batch(batch)

    async with harness.consumer(fail).run():
        await wait_until(lambda: harness.has_handled(handled))
        await wait_until(lambda: harness.has_dead_lettered(3))
    letters = {letter.origin.offset: letter for letter in await dead_letters_of(harness.servers, harness.group)}
    assert {letter.cause for letter in letters.values()} == {"handling"}
    await redrive(harness.servers, harness.group, letters[1], harness.producer, now)
    await discard(harness.group, letters[2], harness.producer, now)

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(redriven))

    assert harness.handled_ids == await _read(harness) == [handled.id, redriven.id]


async def test_what_an_operator_skipped_is_omitted(harness: ConsumerHarness) -> None:
    events = completed_sessions(3)
    await _send(harness, *events)
    skipped = Skip.parse(f"{harness.topic.name}/{PARTITION}", "0-1")
    assert await skip(harness.servers, harness.group, skipped, harness.producer, now) == 2

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(events[2]))

    assert harness.handled_ids == await _read(harness) == [events[2].id]


async def test_a_message_that_is_neither_decoded_nor_dead_lettered_is_named_as_unread(harness: ConsumerHarness) -> None:
    await harness.producer.send([Message(harness.topic.name, b"key", b"not json", partition=PARTITION)])

    async with _reader(harness) as reader:
        assert [batch async for batch in reader.read(PartitionSlice(PARTITION), {}) if batch] == []
        (unread,) = await reader.list_unread()
        assert unread.endswith(f"the first is {harness.topic.name}/{PARTITION}/0")
        async with harness.consumer(harness.handle_batch).run():
            await wait_until(lambda: harness.has_dead_lettered(1))
        assert await reader.list_unread() == []


async def test_the_markers_of_transactions_are_neither_read_nor_waited_for(harness: ConsumerHarness) -> None:
    """Nobody commits past a marker at the end of a partition."""
    events = completed_sessions(3)
    for event in events:
        transactional = AIOKafkaProducer(bootstrap_servers=harness.servers, transactional_id=harness.group)
        async with transactional, transactional.transaction():
            await transactional.send_and_wait(harness.topic.name, encode(event), partition=PARTITION)
    end_offsets = {harness.topic.name: 6}
    await _commit(harness, 4)
    assert not await has_caught_up(harness.servers, harness.group, PARTITION, end_offsets)
    await _commit(harness, 5)

    assert await has_caught_up(harness.servers, harness.group, PARTITION, end_offsets)
    assert await _read(harness) == [event.id for event in events]


async def test_a_topic_that_was_made_again_is_read_from_its_first_record(harness: ConsumerHarness) -> None:
    before, after = completed_sessions(2)
    partition = TopicPartition(harness.topic.name, PARTITION)
    offsets = {partition: 0}
    await _send(harness, *[before] * 3)
    async with TopicReader(harness.servers, [harness.topic]) as reader:
        assert len([r async for records in reader.read([partition], offsets) for r in records]) == 3
    await delete_test_topics(harness.servers, harness.topic)
    await create_test_topics(harness.servers, harness.topic, partitions=2)
    await _send(harness, after)

    async with TopicReader(harness.servers, [harness.topic]) as reader:
        found = [r.value async for records in reader.read([partition], offsets) for r in records]

    assert (found, offsets) == ([encode(after)], {partition: 1})


def _reader(harness: ConsumerHarness) -> EventReader:
    return EventReader(harness.servers, [harness.topic], (SessionCompleted,), harness.group)


async def _read(harness: ConsumerHarness) -> list[UUID]:
    async with _reader(harness) as reader:
        return [r.event.id async for batch in reader.read(PartitionSlice(PARTITION), {}) for r in batch]


def _dated(event: SessionCompleted, moment: datetime) -> SessionCompleted:
    return event.model_copy(update={"occurred_at": moment})


async def _send(harness: ConsumerHarness, *events: Event, sent_at: datetime | None = None) -> None:
    async with AIOKafkaProducer(bootstrap_servers=harness.servers) as producer:
        for event in events:
            await producer.send_and_wait(
                harness.topic.name,
                encode(event),
                key=b"key",
                partition=PARTITION,
                timestamp_ms=int((sent_at or now()).timestamp() * 1000),
            )


async def _commit(harness: ConsumerHarness, offset: int) -> None:
    partition = TopicPartition(harness.topic.name, PARTITION)
    async with AIOKafkaConsumer(
        bootstrap_servers=harness.servers, group_id=harness.group, enable_auto_commit=False
    ) as member:
        member.assign([partition])
        await member.commit({partition: offset})
