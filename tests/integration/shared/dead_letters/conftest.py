"""The command `dead-letters` for the consumer group of one test."""

import asyncio

import pytest

from shared.kafka import client
from shared.kafka.dead_letters import commands
from shared.runtime.commands import parse_arguments
from tests.integration.shared.dead_letters.steps import CommandResult, RunCommand
from tests.support.harness import ConsumerHarness


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
