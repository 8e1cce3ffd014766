"""Dead letters are listed with origin, cause and age, and shown byte for byte."""

from shared.events.cloudevents import encode
from shared.events.topics import dead_letter_topic
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
from tests.support.serving import wait_until


async def test_without_dead_letters_the_list_says_so(run_command: RunCommand) -> None:
    assert await run_command() == CommandResult(0, "no dead letters\n", "")
    assert await run_command("list", "--json") == CommandResult(0, "[]\n", "")
    assert await run_command("redrive", "--all") == CommandResult(0, "nothing to do\n", "")


async def test_the_list_shows_origin_reason_and_age_the_latest_last(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    invalid = encode(completed_sessions(1)[0]).replace(b'"minutes":', b'"hours":')
    await harness.produce(b"{not json", invalid)
    await wait_until_dead_lettered(harness, 2)
    await harness.produce(b"\x1b[31mred")
    await wait_until_dead_lettered(harness, 3)
    partition = await partition_of(harness)

    listed = await run_command()

    lines = listed.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:1]] == [["AGE", "CAUSE"]]
    assert [line.split()[2] for line in lines[1:4]] == ["not_json", "schema", "not_json"]
    assert [origin_of(harness, offset, partition) in line for offset, line in enumerate(lines[1:4])] == [True] * 3
    assert lines[4] == "3 dead letters: 2 not_json, 1 schema"
    first, second, third = (await run_command("list", "--json")).dead_letters
    assert (first["cause"], first["reason"], first["bytes"]) == ("not_json", "message: is not JSON", 9)
    assert (second["cause"], second["reason"]) == ("schema", "minutes: Field required")
    assert first["dead_lettered_at"] <= second["dead_lettered_at"] < third["dead_lettered_at"]
    assert 0 <= third["age_seconds"] < 60
    assert (third["resolution"], third["redriven_from"]) == (None, None)


async def test_a_dead_letter_is_shown_byte_for_byte_and_escaped(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce("\x1b]0;grüß\\gott\n\0".encode() + b"\xff", headers=[("trace", b"\xfe"), ("nothing", None)])
    await wait_until_dead_lettered(harness, 1)

    result = await run_command("show", origin_of(harness, 0, await partition_of(harness)))

    assert result.exit_code == 0
    assert "may contain clinical feedback" in result.stderr
    *_, key, trace, nothing, size, message = result.stdout.splitlines()
    assert key.split() == ["key", "one", "key"]
    assert trace.split() == ["header", "trace:", r"\xfe"]
    assert nothing.split() == ["header", "nothing:", "none"]
    assert size.split() == ["message", "18", "bytes"]
    assert message == r"\x1b]0;grüß\\gott\n\x00\xff"


async def test_a_foreign_record_on_the_dead_letter_topic_is_ignored(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    topic_name = dead_letter_topic(harness.group).name
    await harness.producer.send(
        [
            Message(topic_name, None, b""),
            Message(topic_name, b"key", b"value", [("attune-origin", b"nowhere"), ("attune-set-aside-at", b"never")]),
            Message(topic_name, b"\xff", b"value", [("attune-settled", b"redriven"), ("attune-settled-at", b"never")]),
        ]
    )
    await harness.produce(b"poison")
    await wait_until_dead_lettered(harness, 1)

    assert len((await run_command("list", "--json")).dead_letters) == 1


async def test_metrics_count_dead_letters_and_how_many_are_open(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"{not json", b"{}")

    async with harness.consumer(harness.handle_batch).run():
        assert _dead_letter_count(harness, "no_event") == 0, (
            "exists from the start, so that the first dead letter shows as an increase"
        )
        await wait_until(lambda: has_open_dead_letters(harness, not_json=1, no_event=1))
        assert (
            _dead_letter_count(harness, "not_json"),
            _dead_letter_count(harness, "no_event"),
            _dead_letter_count(harness, "schema"),
        ) == (1, 1, 0)
    await run_command("redrive", origin_of(harness, 0, await partition_of(harness)))
    async with harness.consumer(harness.handle_batch).run():  # a new process counts from the beginning
        # The redriven message still cannot be decoded.
        await wait_until(lambda: has_open_dead_letters(harness, not_json=1, no_event=1))
        assert (_dead_letter_count(harness, "not_json"), _dead_letter_count(harness, "no_event")) == (1, 0)


def _dead_letter_count(harness: ConsumerHarness, cause: str) -> float | None:
    labels = {"topic": harness.topic.name, "cause": cause}
    return harness.registry.get_sample_value("attune_dead_letters_total", labels)
