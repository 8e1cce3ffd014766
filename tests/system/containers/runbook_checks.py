"""The runbooks, followed in real containers: every command as it is written."""

import json
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path

from shared.events.topics import FEEDBACK
from tests.system.containers.compose import Compose
from tests.system.containers.docker import Failed
from tests.system.operate.runbooks import LIST, RUNBOOKS, commands
from tests.system.support.checks import Checks
from tests.system.support.poison import plant_unreadable
from tools.sandbox.servers.inspection import until

WITHIN = 120.0  # seconds
HEARD_BY, PARTITION = "alliance", 3
SAYS_WHERE = re.compile(r"the client cannot read the record at ([\w.]+)/(\d+)/(\d+)")

Well = Callable[[], Awaitable[bool]]


async def operated(compose: Compose, checks: Checks, is_recovered: Well) -> None:
    """All that can be typed as it stands; what is restarted is waited for."""
    problems, command_count = [], 0
    for runbook, command in commands():
        command_count += 1
        try:
            compose.typed(_about_a_letter(compose, command))
        except Failed as error:
            problems.append(f"{runbook}: {error}")
        if "restart" in command:
            await until(is_recovered, WITHIN)
    checks.none("every command of every runbook works in the containers", problems, f"{command_count} commands")


def _about_a_letter(compose: Compose, command: str) -> str:
    """For ORIGIN, the first dead letter that the list shows."""
    if "ORIGIN" not in command:
        return command
    service = shlex.split(command)[3]
    return command.replace("ORIGIN", json.loads(compose.typed(LIST.format(service, service)))[0]["origin"])


async def passed_over(compose: Compose, checks: Checks, kafka: str) -> None:
    """A record that no client reads stops a service, which says where it lies; its runbook leads past it."""
    await plant_unreadable(kafka, FEEDBACK.name, PARTITION)

    async def says_where() -> bool:
        return SAYS_WHERE.search(compose.log(HEARD_BY)) is not None

    checks.holds(
        "a record that nobody can read stops who hears it, and the log says where", await until(says_where, 60.0)
    )
    topic, partition, offset = SAYS_WHERE.findall(compose.log(HEARD_BY))[-1]
    steps = _blocks(RUNBOOKS / "consumer-stopped.md")[-1]
    compose.typed(steps.replace("TOPIC:PARTITION", f"{topic}:{partition}").replace("NEXT", str(int(offset) + 1)))


def _blocks(runbook: Path) -> list[str]:
    """What wants something put in its place, and is not run as it stands."""
    return re.findall(r"^```bash\n(.*?)^```$", runbook.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
