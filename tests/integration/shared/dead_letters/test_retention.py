"""The message of a dead letter is removed some time after it was resolved; all else about it stays."""

from datetime import timedelta

import pytest
from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import RequestTimedOutError

from shared.errors import BrokerUnavailable
from shared.events.topics import dead_letter_topic
from shared.kafka.dead_letters.index import DeadLetterIndex
from shared.kafka.dead_letters.retention import remove_messages
from shared.kafka.dead_letters.topic import OpenDeadLetters, dead_letters_of
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


async def _remove_resolved(harness: ConsumerHarness) -> int:
    """Remove the messages of all that is resolved by now."""
    return await remove_messages(harness.servers, harness.group, now() + timedelta(seconds=1), harness.producer)


async def _records(harness: ConsumerHarness) -> list[ConsumerRecord]:
    return await read_records(harness.servers, dead_letter_topic(harness.group))


async def _stored_values(harness: ConsumerHarness) -> set[bytes | None]:
    return {record.value for record in await _records(harness)}
