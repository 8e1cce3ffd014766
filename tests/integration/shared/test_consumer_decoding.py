"""A message that cannot be decoded is dead-lettered and affects no other message, on a real broker."""

from datetime import timedelta

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from structlog.testing import capture_logs

from shared.events import Event
from shared.events.cloudevents import encode
from shared.events.topics import dead_letter_topic
from shared.kafka.dead_letters.record import ERROR_HEADER, OMITTED_HEADER, ORIGIN_HEADER
from shared.kafka.limits import MAX_UNDECODABLE_MESSAGES, UNDECODABLE_PERIOD
from shared.kafka.producer import Message
from shared.runtime.clock import now
from tests.support.harness import ConsumerHarness, completed_sessions, is_not_alive
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until
from tests.system.support.poison import publish_undecodable_record


async def test_a_header_that_is_not_utf8_does_not_affect_other_messages(harness: ConsumerHarness) -> None:
    events = completed_sessions(3)
    await harness.produce(encode(events[0]))
    await harness.produce(encode(events[1]), headers=[("trace", b"\xff\xfe\xfd")])
    await harness.produce(encode(events[2]))

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))


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


async def test_a_burst_of_messages_that_cannot_be_decoded_stops_no_consumer(harness: ConsumerHarness) -> None:
    (event,) = completed_sessions(1)
    await harness.produce(*[b"poison"] * (2 * MAX_UNDECODABLE_MESSAGES), encode(event))
    client = harness.consumer(harness.handle_batch, batch_size=50)

    async with client.run():
        await wait_until(lambda: harness.has_handled(event))
        assert client.is_alive()

    dead_letter_records = await read_records(harness.servers, dead_letter_topic(harness.group))
    assert len(dead_letter_records) == 2 * MAX_UNDECODABLE_MESSAGES


async def test_when_no_message_can_be_decoded_for_minutes_the_consumer_stops_and_liveness_is_red(
    harness: ConsumerHarness,
) -> None:
    burst = [b"poison"] * (MAX_UNDECODABLE_MESSAGES + 1)
    later = timedelta(0)
    client = harness.consumer(harness.handle_batch, batch_size=50, clock=lambda: now() + later)

    await harness.produce(*burst)
    async with client.run():
        await wait_until(lambda: harness.has_dead_lettered(len(burst)))
        assert client.is_alive()
        later = UNDECODABLE_PERIOD
        await harness.produce(b"poison")
        await wait_until(lambda: is_not_alive(client))

    assert await harness.has_dead_lettered(len(burst))


async def test_a_record_that_the_client_cannot_decode_stops_the_consumer_and_loses_no_other(
    harness: ConsumerHarness,
) -> None:
    """A header name that is not UTF-8: the client cannot return the record, so it cannot be dead-lettered."""
    before, on_other_partition, after = completed_sessions(3), completed_sessions(4), completed_sessions(2)
    # All of it comes with the first response, so aiokafka has the other partition in hand when it meets the record.
    await _produce(harness, 0, *on_other_partition)
    await _produce(harness, 1, *before)
    await publish_undecodable_record(harness.servers, harness.topic.name, 1)
    await _produce(harness, 1, *after)

    client = harness.consumer(harness.handle_batch, batch_size=100)
    with capture_logs() as log_entries:
        async with client.run():
            await wait_until(lambda: is_not_alive(client))

    assert await harness.has_handled(*on_other_partition, *before)
    assert not await harness.has_handled(after[0])
    assert [line["reason"] for line in log_entries if line["event"] == "Consumer stopped"] == [
        f"record {harness.topic.name}/1/3 cannot be decoded by the client"
    ]

    await _reset_offset(harness, 1, to=4)
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*after))
    assert len(harness.handled_ids) == len(set(harness.handled_ids)) == 9


async def _produce(harness: ConsumerHarness, partition: int, *events: Event) -> None:
    await harness.producer.send([Message(harness.topic.name, b"a key", encode(e), partition=partition) for e in events])


async def _reset_offset(harness: ConsumerHarness, partition: int, to: int) -> None:
    """Commit an offset as `kafka-consumer-groups --reset-offsets` does, while the group has no member."""
    topic_partition = TopicPartition(harness.topic.name, partition)
    admin = AIOKafkaConsumer(bootstrap_servers=harness.servers, group_id=harness.group, enable_auto_commit=False)
    async with admin:
        admin.assign([topic_partition])
        await admin.commit({topic_partition: to})
