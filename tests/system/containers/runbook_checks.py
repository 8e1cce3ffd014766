"""The runbooks, followed in real containers: every command as it is written."""

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

RECOVERY_TIMEOUT_SECONDS = 120.0  # seconds
CONSUMER, PARTITION = "alliance", 3
UNDECODABLE_RECORD_LOG = re.compile(r"the client cannot read the record at ([\w.]+)/(\d+)/(\d+)")

IsRecovered = Callable[[], Awaitable[bool]]


async def check_runbooks(compose: ComposeProject, checks: Checks, is_recovered: IsRecovered) -> None:
    """All that can be typed as it stands; what is restarted is waited for."""
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
    """For ORIGIN, the first dead letter that the list shows."""
    if "ORIGIN" not in command:
        return command
    service = shlex.split(command)[3]
    return command.replace("ORIGIN", json.loads(compose.run_shell(LIST_COMMAND.format(service, service)))[0]["origin"])


async def check_skipping_record(compose: ComposeProject, checks: Checks, bootstrap_servers: str) -> None:
    """A record that no client reads stops a service, which says where it lies; its runbook leads past it."""
    await publish_undecodable_record(bootstrap_servers, FEEDBACK.name, PARTITION)

    async def is_position_logged() -> bool:
        return UNDECODABLE_RECORD_LOG.search(compose.logs(CONSUMER)) is not None

    checks.expect(
        "a record that nobody can read stops who hears it, and the log says where",
        await wait_until(is_position_logged, 60.0),
    )
    topic, partition, offset = UNDECODABLE_RECORD_LOG.findall(compose.logs(CONSUMER))[-1]
    steps = _template_blocks(RUNBOOKS_FOLDER / "consumer-stopped.md")[-1]
    compose.run_shell(steps.replace("TOPIC:PARTITION", f"{topic}:{partition}").replace("NEXT", str(int(offset) + 1)))


def _template_blocks(runbook: Path) -> list[str]:
    """What wants something put in its place, and is not run as it stands."""
    return re.findall(r"^```bash\n(.*?)^```$", runbook.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
