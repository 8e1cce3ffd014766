"""A batch is handled in order, again and again until it succeeds, and no event is lost, on a real broker."""

import asyncio
import time
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from shared.errors import StoreUnavailable
from shared.events import Event
from shared.events.cloudevents import encode
from shared.kafka.producer import Message
from shared.kafka.subscriber import ConsumerTimings
from tests.support.harness import ConsumerHarness, completed_sessions, is_true
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until
from tools.sandbox.servers.ports import free_ports


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
        await wait_until(lambda: is_true(started_at and time.monotonic() > started_at + 3))
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


async def test_one_reachable_bootstrap_server_is_enough_to_start(harness: ConsumerHarness) -> None:
    events = completed_sessions(1)
    harness.servers = f"127.0.0.1:{free_ports(1)[0]},{harness.servers}"

    await harness.produce(*map(encode, events))
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


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_codec_can_be_read(harness: ConsumerHarness, codec: str) -> None:
    events = completed_sessions(3)
    async with AIOKafkaProducer(bootstrap_servers=harness.servers, compression_type=codec) as producer:
        for event in events:
            await producer.send_and_wait(harness.topic.name, encode(event), key=b"one key")

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events))
