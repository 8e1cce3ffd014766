"""The command `dead-letters`: its arguments, its errors, and the runbook that uses it."""

import asyncio
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE
from typing import get_args

import pytest

from shared.errors import DeadLetterCause
from shared.events.topics import CONSUMED_TOPICS
from shared.kafka.dead_letters import commands
from shared.runtime.commands import parse_arguments
from tests.integration.shared.dead_letters.steps import (
    CommandResult,
    RunCommand,
    origin_of,
    partition_of,
    wait_until_dead_lettered,
)
from tests.support.harness import ConsumerHarness
from tests.support.kafka_reader import read_records
from tools.sandbox.servers.process import PROJECT_ROOT

RUNBOOK = PROJECT_ROOT / "docs" / "runbooks" / "dead-letters.md"


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
        result = await run_command(*argv)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"{harness.group} has no dead letter from clinic.x/0/1; `list --all` names all" in result.stderr
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


async def test_every_command_in_the_runbook_works(harness: ConsumerHarness, run_command: RunCommand) -> None:
    runbook = RUNBOOK.read_text(encoding="utf-8")
    commands_in_runbook = re.findall(r"python -m services\.\w+ dead-letters(.*)$", runbook, re.MULTILINE)
    assert len(commands_in_runbook) >= 5
    await harness.produce(b"{}")
    await wait_until_dead_lettered(harness, 1)
    origin_text = origin_of(harness, 0, await partition_of(harness))

    for arguments_text in commands_in_runbook:
        assert (await run_command(*shlex.split(arguments_text.replace("ORIGIN", origin_text)))).exit_code == 0
    assert all(f"`{cause}`" in runbook for cause in get_args(DeadLetterCause))


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
