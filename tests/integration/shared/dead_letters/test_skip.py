"""Messages that block a consumer are skipped by a command, and dead-lettered, so that none is lost."""

import pytest

from shared.events.cloudevents import encode
from shared.events.topics import dead_letter_topic
from shared.kafka.dead_letters.record import CAUSE_HEADER
from tests.integration.shared.dead_letters.steps import RunCommand, partition_of
from tests.support.harness import ConsumerHarness, completed_sessions, is_ready
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until
from tests.system.support.poison import publish_undecodable_record


async def test_a_skipped_range_is_dead_lettered_and_the_consumer_continues_behind_it(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    events = completed_sessions(5)
    client = harness.consumer(harness.handle_batch)
    async with client.run():  # a new cluster knows no groups at first
        await wait_until(lambda: is_ready(client))
    await harness.produce(*map(encode, events[:3]))
    partition = await partition_of(harness)
    await publish_undecodable_record(harness.servers, harness.topic.name, partition)
    await harness.produce(*map(encode, events[3:]))

    result = await run_command("skip", f"{harness.topic.name}/{partition}", "0-3")
    again = await run_command("skip", f"{harness.topic.name}/{partition}", "0-3")

    assert result.exit_code == 0
    assert "3 dead-lettered" in result.stdout
    assert (again.exit_code, "nothing up to 3 is left to skip" in again.stderr) == (1, True)
    dead_letters = await read_records(harness.servers, dead_letter_topic(harness.group))
    assert [record.value for record in dead_letters] == [encode(event) for event in events[:3]]
    assert {dict(record.headers)[CAUSE_HEADER] for record in dead_letters} == {b"skipped"}
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(*events[3:]))
    assert harness.handled_ids == [event.id for event in events[3:]]


async def test_nothing_that_was_not_named_is_skipped(harness: ConsumerHarness, run_command: RunCommand) -> None:
    events = completed_sessions(3)
    await harness.produce(*map(encode, events))
    partition = f"{harness.topic.name}/{await partition_of(harness)}"

    for offsets, reason in (("1-2", "would be skipped as well"), ("0-3", "the last message is 2")):
        result = await run_command("skip", partition, offsets)
        assert (result.exit_code, reason in result.stderr) == (1, True)
    client = harness.consumer(harness.handle_batch)
    async with client.run():
        await wait_until(lambda: is_ready(client))
        result = await run_command("skip", partition, "0-2")
        assert (result.exit_code, "stop all its processes first" in result.stderr) == (1, True)
        await wait_until(lambda: harness.has_handled(*events))
    assert await harness.has_dead_lettered(0)


@pytest.mark.parametrize("argv", [["clinic.feedback", "1-2"], ["clinic.feedback/0", "2-1"], ["clinic.feedback/0", "1"]])
async def test_a_range_that_is_none_is_rejected(run_command: RunCommand, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        await run_command("skip", *argv)
    assert raised.value.code == 2
