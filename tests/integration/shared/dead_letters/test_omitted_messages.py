"""A message that its dead letter cannot contain is fetched from its origin."""

from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.events.cloudevents import encode
from shared.kafka.dead_letters.topic import MessageNotFound, dead_letters_of, fetch_complete
from shared.kafka.producer import Message
from tests.integration.shared.dead_letters.steps import (
    RunCommand,
    has_open_dead_letters,
    origin_of,
    partition_of,
    wait_until_dead_lettered,
)
from tests.support.harness import ConsumerHarness, completed_sessions
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until


async def test_a_message_too_large_for_its_dead_letter_is_fetched_from_its_origin(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    value, headers = b"x" * 3_000_000, [("trace", b"\xff"), ("nothing", None)]
    async with AIOKafkaProducer(
        bootstrap_servers=harness.servers, compression_type="gzip", max_request_size=4_000_000
    ) as large:
        await large.send_and_wait(harness.topic.name, value, key=b"large", headers=headers)
    await wait_until_dead_lettered(harness, 1)
    origin_text = origin_of(harness, 0, await partition_of(harness))

    (listed,) = (await run_command("list", "--json")).dead_letters
    assert (listed["origin"], listed["cause"]) == (origin_text, "too_large")
    assert listed["bytes"] > len(value)
    assert (await run_command("show", origin_text)).stdout.endswith(value.decode() + "\n")
    assert (await run_command("redrive", origin_text)).stdout == f"redriven {origin_text}\n1 resolved\n"

    original, copy = await read_records(harness.servers, harness.topic)
    assert (copy.key, copy.value, copy.headers[:2]) == (b"large", value, original.headers)


async def test_an_omitted_message_that_no_longer_exists_is_reported_and_the_rest_is_redriven(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=harness.servers, compression_type="gzip") as large:
        await large.send_and_wait(harness.topic.name, b"x" * 1_000_000, key=b"one key")
    await harness.produce(b"poison")
    await wait_until_dead_lettered(harness, 2)
    partition = await partition_of(harness)
    admin = AIOKafkaAdminClient(bootstrap_servers=harness.servers)
    await admin.start()
    await admin.delete_records({TopicPartition(harness.topic.name, partition): RecordsToDelete(before_offset=1)})
    await admin.close()

    redriven = await run_command("redrive", "--all")

    assert (redriven.exit_code, redriven.stdout) == (1, f"redriven {origin_of(harness, 1, partition)}\n1 resolved\n")
    assert redriven.stderr == (
        f"dead-letters: message {origin_of(harness, 0, partition)} no longer exists at its origin, "
        "and its dead letter does not contain it: it was too large, or was resolved long ago\n"
    )


async def test_another_message_at_the_origin_is_not_taken_for_the_omitted_one(harness: ConsumerHarness) -> None:
    """As when the topic was deleted and made again: nobody is shown, and nothing is sent, what was no dead letter."""
    async with AIOKafkaProducer(bootstrap_servers=harness.servers, compression_type="gzip") as large:
        await large.send_and_wait(harness.topic.name, b"x" * 1_000_000, key=b"one key")
    await harness.produce(b"another")
    await wait_until_dead_lettered(harness, 2)
    omitted, another = await dead_letters_of(harness.servers, harness.group)
    assert (await fetch_complete(harness.servers, omitted)).value == b"x" * 1_000_000

    with pytest.raises(MessageNotFound, match="there is another one"):
        await fetch_complete(harness.servers, replace(omitted, origin=another.origin))


async def test_a_message_without_key_and_value_blocks_no_other(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    """aiokafka rejects a message without key and value, so its dead letter has an empty value."""
    (event,) = completed_sessions(1)
    async with AIOKafkaProducer(bootstrap_servers=harness.servers) as producer:
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await producer.send_batch(batch, harness.topic.name, partition=0)
    await harness.producer.send([Message(harness.topic.name, None, b"x" * 1_000_000, partition=0)])
    await harness.producer.send([Message(harness.topic.name, None, encode(event), partition=0)])
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(event))
        await wait_until(lambda: has_open_dead_letters(harness, empty=1, too_large=1))

    assert (await run_command("redrive", "--all")).exit_code == 0
