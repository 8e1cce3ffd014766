"""Runs the commands of the runbooks in real containers, exactly as written."""

import json
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

from shared.events.topics import FEEDBACK
from tests.system.containers.compose import ComposeProject
from tests.system.containers.docker import DockerError
from tests.system.operate.runbooks import LIST_COMMAND, RUNBOOKS_FOLDER, read_commands
from tests.system.support.checks import Checks
from tests.system.support.poison import publish_undecodable_record
from tools.sandbox.servers.inspection import wait_until

RECOVERY_TIMEOUT_SECONDS = 120.0
CONSUMER, PARTITION = "alliance", 3
UNDECODABLE_RECORD_LOG = re.compile(r"record ([\w.]+)/(\d+)/(\d+) cannot be decoded by the client")

IsRecovered = Callable[[], Awaitable[bool]]


async def check_runbooks(compose: ComposeProject, checks: Checks, is_recovered: IsRecovered) -> None:
    """Run every command that needs no changes; wait for recovery after a restart."""
    problems, command_count = [], 0
    for runbook, command in read_commands():
        command_count += 1
        try:
            compose.run_shell(_substitute_origin(compose, command))
        except DockerError as error:
            problems.append(f"{runbook}: {error}")
        if "restart" in command:
            await wait_until(is_recovered, RECOVERY_TIMEOUT_SECONDS)
    checks.expect_none("every command of every runbook works in the containers", problems, f"{command_count} commands")


def _substitute_origin(compose: ComposeProject, command: str) -> str:
    """Replace ORIGIN by the origin of the first listed dead letter."""
    if "ORIGIN" not in command:
        return command
    service = shlex.split(command)[3]
    return command.replace("ORIGIN", json.loads(compose.run_shell(LIST_COMMAND.format(service, service)))[0]["origin"])


async def check_skipping_record(compose: ComposeProject, checks: Checks, bootstrap_servers: str) -> None:
    """An undecodable record stops a consumer, which logs its position; the runbook describes how to skip it."""
    await publish_undecodable_record(bootstrap_servers, FEEDBACK.name, PARTITION)

    async def is_position_logged() -> bool:
        return UNDECODABLE_RECORD_LOG.search(compose.logs(CONSUMER)) is not None

    has_stopped = await wait_until(is_position_logged, 60.0)
    checks.expect("an undecodable record stops its consumer, and the log gives its position", has_stopped)
    if not has_stopped:
        return
    topic, partition, offset = UNDECODABLE_RECORD_LOG.findall(compose.logs(CONSUMER))[-1]
    steps = _template_blocks(RUNBOOKS_FOLDER / "consumer-stopped.md")[0]
    compose.run_shell(steps.replace("TOPIC/PARTITION", f"{topic}/{partition}").replace("OFFSET", offset))


def _template_blocks(runbook: Path) -> list[str]:
    """Shell blocks with placeholders, which cannot run unchanged."""
    return re.findall(r"^```bash\n(.*?)^```$", runbook.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
