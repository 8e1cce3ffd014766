"""A dead letter is redriven to its origin or discarded, and resolved by that."""

from datetime import timedelta

import pytest

from shared.events.cloudevents import encode
from shared.kafka.dead_letters import topic
from shared.kafka.dead_letters.record import REDRIVEN_FROM_HEADER
from shared.kafka.producer import Message
from tests.integration.shared.dead_letters.steps import (
    CommandResult,
    RunCommand,
    has_open_dead_letters,
    origin_of,
    partition_of,
    wait_until_dead_lettered,
)
from tests.support.harness import ConsumerHarness, completed_sessions
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until

TEN_YEARS = timedelta(days=3650)


async def test_a_message_redriven_after_the_fix_is_handled_and_resolved(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    """The clock of the consumer was wrong, so the event was in the future."""
    (event,) = completed_sessions(1)
    await harness.produce(encode(event), headers=[("trace", b"\xff\xfe"), ("nothing", None)])
    async with harness.consumer(harness.handle_batch, clock=lambda: event.occurred_at - TEN_YEARS).run():
        await wait_until(lambda: has_open_dead_letters(harness, future=1))
    assert harness.handled_ids == []

    redriven = await run_command("redrive", "--all")

    origin_text = origin_of(harness, 0, await partition_of(harness))
    assert redriven == CommandResult(0, f"redriven {origin_text}\n1 resolved\n", "")
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(event))
        await wait_until(lambda: has_open_dead_letters(harness))
    assert (await run_command()).stdout == "no dead letters\n"
    (dead_letter,) = (await run_command("list", "--all", "--json")).dead_letters
    assert (dead_letter["origin"], dead_letter["resolution"]) == (origin_text, "redriven")
    original, copy = await read_records(harness.servers, harness.topic)
    assert (copy.key, copy.value, copy.partition) == (original.key, original.value, original.partition)
    assert copy.headers == (*original.headers, (REDRIVEN_FROM_HEADER, origin_text.encode()))


async def test_a_resolved_dead_letter_is_redriven_again_only_on_request(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"poison")
    await wait_until_dead_lettered(harness, 1)
    origin_text = origin_of(harness, 0, await partition_of(harness))
    await run_command("redrive", origin_text)

    repeated = await run_command("redrive", origin_text)
    assert repeated.exit_code == 0
    assert repeated.stdout.startswith(f"{origin_text} is already resolved: redriven at ")
    assert repeated.stdout.endswith("\nnothing to do\n")
    assert await run_command("redrive", "--all") == CommandResult(0, "nothing to do\n", "")
    assert len(await read_records(harness.servers, harness.topic)) == 2

    assert (
        await run_command("redrive", "--include-resolved", origin_text)
    ).stdout == f"redriven {origin_text}\n1 resolved\n"
    assert len(await read_records(harness.servers, harness.topic)) == 3


async def test_a_redriven_message_that_still_cannot_be_decoded_keeps_its_first_origin(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"poison")
    await wait_until_dead_lettered(harness, 1)
    partition = await partition_of(harness)

    for offset in (0, 1):
        assert (await run_command("redrive", origin_of(harness, offset, partition))).exit_code == 0
        await wait_until_dead_lettered(harness, offset + 2)
        (open_dead_letter,) = (await run_command("list", "--json")).dead_letters
        assert (open_dead_letter["origin"], open_dead_letter["redriven_from"]) == (
            origin_of(harness, offset + 1, partition),
            origin_of(harness, 0, partition),
        )

    assert f"(redriven from {origin_of(harness, 0, partition)})" in (await run_command()).stdout


async def test_a_crash_between_redriving_and_resolving_leaves_the_dead_letter_open(
    harness: ConsumerHarness, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    (event,) = completed_sessions(1)
    await harness.produce(encode(event))
    async with harness.consumer(harness.handle_batch, clock=lambda: event.occurred_at - TEN_YEARS).run():
        await wait_until(lambda: has_open_dead_letters(harness, future=1))

    def interrupt(*_: object) -> Message:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(topic, "resolution_message", interrupt)
        assert (await run_command("redrive", "--all")).exit_code == 130
    assert len((await run_command("list", "--json")).dead_letters) == 1
    assert (await run_command("redrive", "--all")).exit_code == 0

    later = completed_sessions(1)
    await harness.produce(encode(later[0]))
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(event, *later))
    assert set(harness.handled_ids) == {event.id, later[0].id}, (
        "published twice under one id, which a consumer handles once"
    )
    assert (await run_command()).stdout == "no dead letters\n"


async def test_a_discarded_dead_letter_is_resolved(harness: ConsumerHarness, run_command: RunCommand) -> None:
    await harness.produce(b"a stranger's", b"{}")
    await wait_until_dead_lettered(harness, 2)
    partition = await partition_of(harness)

    assert await run_command("discard", origin_of(harness, 0, partition)) == CommandResult(
        0, f"discarded {origin_of(harness, 0, partition)}\n1 resolved\n", ""
    )

    (open_dead_letter,) = (await run_command("list", "--json")).dead_letters
    assert open_dead_letter["origin"] == origin_of(harness, 1, partition)
    assert "discarded 0 s ago" in (await run_command("list", "--all")).stdout
    assert len(await read_records(harness.servers, harness.topic)) == 2, "nothing was sent"
    assert (await run_command("redrive", "--include-resolved", origin_of(harness, 0, partition))).exit_code == 0, (
        "discarding can be undone"
    )


async def test_dead_letters_can_be_redriven_by_cause(harness: ConsumerHarness, run_command: RunCommand) -> None:
    await harness.produce(b"{not json", b"{}", b"[]")
    await wait_until_dead_lettered(harness, 3)
    partition = await partition_of(harness)

    redriven = await run_command("redrive", "--all", "--cause", "no_event")

    assert redriven.stdout.splitlines() == [
        f"redriven {origin_of(harness, offset, partition)}" for offset in (1, 2)
    ] + ["2 resolved"]
    assert [dead_letter["cause"] for dead_letter in (await run_command("list", "--json")).dead_letters] == ["not_json"]
