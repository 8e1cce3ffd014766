"""The message of a dead letter is removed some time after it was resolved; all else about it stays."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import RequestTimedOutError

from shared.errors import BrokerUnavailable
from shared.events.topics import dead_letter_topic
from shared.kafka import client
from shared.kafka.dead_letters.index import DeadLetterIndex
from shared.kafka.dead_letters.record import CAUSE_HEADER, parse_resolution, resolution_message
from shared.kafka.dead_letters.retention import remove_messages
from shared.kafka.dead_letters.topic import OpenDeadLetters, dead_letters_of
from shared.kafka.producer import Message
from shared.runtime.clock import now
from tests.integration.shared.dead_letters.steps import (
    RunCommand,
    has_open_dead_letters,
    origin_of,
    partition_of,
    wait_until_dead_lettered,
)
from tests.support.harness import ConsumerHarness
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until
from tests.system.support.poison import publish_undecodable_record

RETENTION = timedelta(days=30)


async def test_a_running_consumer_removes_the_message_of_what_was_resolved_long_ago(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"resolved long ago", b"open")
    await wait_until_dead_lettered(harness, 2)
    await run_command("discard", origin_of(harness, 0, await partition_of(harness)))

    async with harness.consumer(harness.handle_batch, clock=lambda: now() + RETENTION - timedelta(hours=1)).run():
        await wait_until(lambda: has_open_dead_letters(harness, not_json=1))
    assert await _stored_values(harness) >= {b"resolved long ago", b"open"}

    async def is_removed() -> bool:
        return b"resolved long ago" not in await _stored_values(harness)

    async with harness.consumer(harness.handle_batch, clock=lambda: now() + RETENTION + timedelta(hours=1)).run():
        await wait_until(is_removed)
        await wait_until(lambda: has_open_dead_letters(harness, not_json=1))
    assert b"open" in await _stored_values(harness)


async def test_an_emptied_dead_letter_is_listed_and_shown_as_before(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"redriven", b"discarded", b"open")
    await wait_until_dead_lettered(harness, 3)
    partition = await partition_of(harness)
    await run_command("redrive", origin_of(harness, 0, partition))
    await run_command("discard", origin_of(harness, 1, partition))
    before = (await run_command("list", "--all", "--json")).dead_letters
    origins = {dead_letter["origin"] for dead_letter in before}

    assert await _remove_resolved(harness) == 2

    after = (await run_command("list", "--all", "--json")).dead_letters
    volatile = {"age_seconds", "bytes"}
    assert [{k: v for k, v in dead_letter.items() if k not in volatile} for dead_letter in after] == [
        {k: v for k, v in dead_letter.items() if k not in volatile} for dead_letter in before
    ]
    async with DeadLetterIndex(harness.servers, harness.group) as index:
        assert {str(origin) for origin in await index.read()} == origins
    assert (await run_command("show", origin_of(harness, 1, partition))).stdout.endswith("\ndiscarded\n")
    assert await _remove_resolved(harness) == 0


async def test_open_dead_letters_are_never_removed_and_can_be_redriven(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    headers = [("trace", b"\xff"), ("nothing", None)]
    await harness.produce(b"open", headers=headers)
    await harness.produce(b"resolved")
    await wait_until_dead_lettered(harness, 2)
    partition = await partition_of(harness)
    await run_command("discard", origin_of(harness, 1, partition))

    assert await _remove_resolved(harness) == 1

    assert (
        await run_command("redrive", "--all")
    ).stdout == f"redriven {origin_of(harness, 0, partition)}\n1 resolved\n"
    *_, redriven = await read_records(harness.servers, harness.topic)
    assert (redriven.key, redriven.value, list(redriven.headers)[:2]) == (b"one key", b"open", headers)


async def test_a_removal_that_was_interrupted_is_completed_and_leaves_nothing_twice(
    harness: ConsumerHarness, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.produce(b"open", b"resolved")
    await wait_until_dead_lettered(harness, 2)
    partition = await partition_of(harness)
    await run_command("discard", origin_of(harness, 1, partition))
    open_dead_letters = OpenDeadLetters(harness.servers, harness.group)
    assert (await open_dead_letters.count_by_cause()).total() == 1

    async def fail(*_args: object) -> None:
        raise RequestTimedOutError

    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaAdminClient, "delete_records", fail)
        with pytest.raises(BrokerUnavailable):
            await _remove_resolved(harness)
    assert len(await _records(harness)) == 5, "two dead letters and their copies, and a resolution"
    assert await _remove_resolved(harness) == 1

    # The next message to remove lies behind all copies: removing it merges them.
    await harness.produce(b"resolved later")
    await wait_until_dead_lettered(harness, 3)
    await run_command("discard", origin_of(harness, 2, partition))
    assert await _remove_resolved(harness) == 1
    dead_letter_partitions = {record.partition for record in await _records(harness) if record.key == b"one key"}
    assert len(dead_letter_partitions) == 1
    values = [record.value for record in await _records(harness) if record.partition in dead_letter_partitions]
    assert sorted(value for value in values if value) == [b"open"]
    assert len(await dead_letters_of(harness.servers, harness.group)) == 3
    assert (await open_dead_letters.count_by_cause()).total() == 1


async def test_other_records_on_the_topic_stay_as_they_are(harness: ConsumerHarness, run_command: RunCommand) -> None:
    await harness.produce(b"resolved")
    dead_letters, partition = dead_letter_topic(harness.group).name, (await partition_of(harness))
    await harness.producer.send([Message(dead_letters, None, b"foreign", [("trace", b"1")], partition)])
    async with AIOKafkaProducer(bootstrap_servers=harness.servers) as producer:
        batch = producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await producer.send_batch(batch, dead_letters, partition=partition)
    await wait_until_dead_lettered(harness, 1)
    await run_command("discard", origin_of(harness, 0, partition))

    assert await _remove_resolved(harness) == 1

    foreign, empty = [
        record for record in await _records(harness) if record.value in (b"foreign", b"") and not _cause(record)
    ]
    assert (foreign.partition, foreign.key, foreign.value, foreign.headers) == (
        partition,
        None,
        b"foreign",
        (("trace", b"1"),),
    )
    assert (empty.partition, empty.key, empty.headers) == (partition, None, ())


async def test_of_several_resolutions_of_a_dead_letter_the_last_one_stays(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"resolved twice")
    await wait_until_dead_lettered(harness, 1)
    partition = await partition_of(harness)
    (dead_letter,) = await dead_letters_of(harness.servers, harness.group)
    (record,) = await _records(harness)
    times = [now() - timedelta(days=days) for days in (1, 2)]
    resolutions = [resolution_message(dead_letter.origin, "closed", harness.group, at) for at in times]
    await harness.producer.send([replace(resolution, partition=record.partition) for resolution in resolutions])
    await harness.produce(b"resolved after these")
    await wait_until_dead_lettered(harness, 2)
    await run_command("discard", origin_of(harness, 1, partition))

    assert await _remove_resolved(harness) == 2

    parsed = [resolution for record in await _records(harness) if (resolution := parse_resolution(record))]
    assert [resolution.resolved_at for origin, resolution in parsed if origin == dead_letter.origin] == times[:1]


async def test_nothing_is_removed_from_a_partition_with_a_record_that_cannot_be_appended_again(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    """It would be lost: the client cannot read it, and so cannot write it either."""
    await harness.produce(b"resolved")
    await wait_until_dead_lettered(harness, 1)
    (dead_letter,) = await _records(harness)
    await publish_undecodable_record(harness.servers, dead_letter.topic, dead_letter.partition)
    await run_command("discard", origin_of(harness, 0, await partition_of(harness)))

    assert await _remove_resolved(harness) == 0
    assert b"resolved" in await _stored_values(harness)


async def test_a_removal_is_not_cancelled_when_its_service_stops(
    harness: ConsumerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled while it connects, it would leave a connection open."""
    started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def remove(*_args: object) -> int:
        started.set()
        await may_end.wait()
        ended.set()
        return 0

    monkeypatch.setattr(client, "remove_messages", remove)
    async with harness.consumer(harness.handle_batch).run():
        await started.wait()
        asyncio.get_running_loop().call_later(0.5, may_end.set)  # after the service has cancelled what it can

    assert ended.is_set()


def _cause(record: ConsumerRecord) -> bool:
    return any(name == CAUSE_HEADER for name, _ in record.headers)


async def _remove_resolved(harness: ConsumerHarness) -> int:
    """Remove the messages of all that is resolved by now."""
    return await remove_messages(harness.servers, harness.group, now() + timedelta(seconds=1), harness.producer)


async def _records(harness: ConsumerHarness) -> list[ConsumerRecord]:
    return await read_records(harness.servers, dead_letter_topic(harness.group))


async def _stored_values(harness: ConsumerHarness) -> set[bytes | None]:
    return {record.value for record in await _records(harness)}
