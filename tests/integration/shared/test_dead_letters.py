"""The command `dead-letters`: listing, showing, redriving and discarding messages that cannot be decoded."""

import asyncio
import json
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from shared.errors import DecodeErrorCause
from shared.events.cloudevents import encode
from shared.events.topics import CONSUMED_TOPICS, dead_letter_topic
from shared.kafka import client
from shared.kafka.dead_letters import commands, topic
from shared.kafka.dead_letters.record import REDRIVEN_FROM_HEADER
from shared.kafka.producer import Message
from shared.runtime.commands import parse_arguments
from tests.support.harness import ConsumerHarness, completed_sessions
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until

RUNBOOK = Path(__file__).parents[3] / "docs" / "runbooks" / "dead-letters.md"
TEN_YEARS = timedelta(days=3650)


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def dead_letters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.stdout)
        return found


RunCommand = Callable[..., Coroutine[Any, Any, CommandResult]]


@pytest.fixture(autouse=True)
def count_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEAD_LETTER_COUNT_INTERVAL_SECONDS", 0.2)


@pytest.fixture
def run_command(harness: ConsumerHarness, capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Runs `dead-letters` for the consumer group of the harness."""

    async def run_command(*argv: str, servers: str = harness.servers) -> CommandResult:
        args = parse_arguments("test", commands.add_command, argv=["dead-letters", *argv])
        capsys.readouterr()  # drops earlier output
        code: int = await asyncio.to_thread(commands.run, args, servers, harness.group)
        captured = capsys.readouterr()
        return CommandResult(code, captured.out, captured.err)

    return run_command


async def wait_until_dead_lettered(harness: ConsumerHarness, count: int) -> None:
    """Run the consumer of the harness until there are `count` dead letters."""

    async def has_dead_letters() -> bool:
        return len(await topic.dead_letters_of(harness.servers, harness.group)) == count

    async with harness.consumer(harness.handle_batch).run():
        await wait_until(has_dead_letters)


def origin_of(harness: ConsumerHarness, offset: int, partition: int) -> str:
    return f"{harness.topic.name}/{partition}/{offset}"


async def partition_of(harness: ConsumerHarness) -> int:
    """The partition of all records on the topic of the harness."""
    found: set[int] = {record.partition for record in await read_records(harness.servers, harness.topic)}
    (partition,) = found
    return partition


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


async def test_a_message_redriven_after_the_fix_is_handled_and_resolved(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    """The clock of the consumer was wrong, so the event was in the future."""
    (event,) = completed_sessions(1)
    await harness.produce(encode(event), headers=[("trace", b"\xff\xfe"), ("nothing", None)])
    async with harness.consumer(harness.handle_batch, clock=lambda: event.occurred_at - TEN_YEARS).run():
        await wait_until(lambda: _has_open_dead_letters(harness, future=1))
    assert harness.handled_ids == []

    redriven = await run_command("redrive", "--all")

    origin_text = origin_of(harness, 0, await partition_of(harness))
    assert redriven == CommandResult(0, f"redriven {origin_text}\n1 resolved\n", "")
    async with harness.consumer(harness.handle_batch).run():
        await wait_until(lambda: harness.has_handled(event))
        await wait_until(lambda: _has_open_dead_letters(harness))
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
        await wait_until(lambda: _has_open_dead_letters(harness, future=1))

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
        "and was too large to be stored in its dead letter\n"
    )


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
        await wait_until(lambda: _has_open_dead_letters(harness, empty=1, too_large=1))

    assert (await run_command("redrive", "--all")).exit_code == 0


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


@pytest.mark.parametrize(
    "argv",
    [
        ["show", "clinic.feedback"],
        ["show", "clinic.feedback/0/last"],
        ["redrive"],
        ["redrive", "--all", "clinic.feedback/0/1"],
        ["redrive", "--cause", "schema", "clinic.feedback/0/1"],
    ],
)
async def test_wrong_arguments_are_rejected(run_command: RunCommand, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        await run_command(*argv)
    assert raised.value.code == 2


async def test_an_origin_without_a_dead_letter_is_reported_and_nothing_is_sent(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"poison")
    await wait_until_dead_lettered(harness, 1)
    known = origin_of(harness, 0, await partition_of(harness))

    for argv in (["show", "clinic.x/0/1"], ["redrive", known, "clinic.x/0/1"]):
        assert await run_command(*argv) == CommandResult(
            1, "", f"dead-letters: {harness.group} has no dead letter from clinic.x/0/1\n"
        )
    assert len(await read_records(harness.servers, harness.topic)) == 1


@pytest.mark.parametrize("argv", [["list"], ["show", "clinic.x/0/1"], ["redrive", "--all"]])
async def test_an_unavailable_kafka_gives_one_clear_line(run_command: RunCommand, argv: list[str]) -> None:
    result = await run_command(*argv, servers="127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("dead-letters: Kafka at 127.0.0.1:1: ")
    assert result.stderr.count("\n") == 1


async def test_a_missing_topic_gives_one_line_that_says_what_to_do(
    kafka_servers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    args = parse_arguments("test", commands.add_command, argv=["dead-letters"])

    assert await asyncio.to_thread(commands.run, args, kafka_servers, "nobody") == 1

    assert "create it with `python -m deploy.jobs.topics`" in capsys.readouterr().err


async def test_metrics_count_dead_letters_and_how_many_are_open(
    harness: ConsumerHarness, run_command: RunCommand
) -> None:
    await harness.produce(b"{not json", b"{}")

    async with harness.consumer(harness.handle_batch).run():
        assert _dead_letter_count(harness, "no_event") == 0, (
            "exists from the start, so that the first dead letter shows as an increase"
        )
        await wait_until(lambda: _has_open_dead_letters(harness, not_json=1, no_event=1))
        assert (
            _dead_letter_count(harness, "not_json"),
            _dead_letter_count(harness, "no_event"),
            _dead_letter_count(harness, "schema"),
        ) == (1, 1, 0)
    await run_command("redrive", origin_of(harness, 0, await partition_of(harness)))
    async with harness.consumer(harness.handle_batch).run():  # a new process counts from the beginning
        # The redriven message still cannot be decoded.
        await wait_until(lambda: _has_open_dead_letters(harness, not_json=1, no_event=1))
        assert (_dead_letter_count(harness, "not_json"), _dead_letter_count(harness, "no_event")) == (1, 0)


async def test_every_command_in_the_runbook_works(harness: ConsumerHarness, run_command: RunCommand) -> None:
    runbook = RUNBOOK.read_text(encoding="utf-8")
    commands_in_runbook = re.findall(r"python -m services\.\w+ dead-letters(.*)$", runbook, re.MULTILINE)
    assert len(commands_in_runbook) >= 5
    await harness.produce(b"{}")
    await wait_until_dead_lettered(harness, 1)
    origin_text = origin_of(harness, 0, await partition_of(harness))

    for arguments_text in commands_in_runbook:
        assert (await run_command(*shlex.split(arguments_text.replace("ORIGIN", origin_text)))).exit_code == 0
    assert all(f"`{cause}`" in runbook for cause in get_args(DecodeErrorCause))


@pytest.mark.parametrize("service", CONSUMED_TOPICS)
async def test_every_service_that_consumes_has_the_command(service: str, kafka_servers: str) -> None:
    result = await _run_process(service, kafka_servers, "dead-letters", "list", "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert isinstance(result.dead_letters, list)


@pytest.mark.parametrize("service", [*CONSUMED_TOPICS, "intake"])
async def test_an_unknown_command_is_rejected(service: str) -> None:
    result = await _run_process(service, "127.0.0.1:1", "dead-leters")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "invalid choice: 'dead-leters'" in result.stderr


async def _run_process(service: str, servers: str, *argv: str) -> CommandResult:
    environment = {
        "PATH": os.environ["PATH"],
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "MONGODB_URI": "mongodb://127.0.0.1:1",  # unreachable: it is not needed
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", *argv, env=environment, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return CommandResult(process.returncode, out.decode(), err.decode())


def _dead_letter_count(harness: ConsumerHarness, cause: str) -> float | None:
    labels = {"topic": harness.topic.name, "cause": cause}
    return harness.registry.get_sample_value("attune_dead_letters_total", labels)


async def _has_open_dead_letters(harness: ConsumerHarness, **by_cause: int) -> bool:
    """Whether the metrics of the latest consumer show these open dead letters."""
    causes = get_args(DecodeErrorCause)
    counts = {c: harness.registry.get_sample_value("attune_dead_letters_open", {"cause": c}) for c in causes}
    return counts == {c: by_cause.get(c, 0) for c in counts}
