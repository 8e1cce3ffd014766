"""Steps of the tests: produce dead letters, and run the command `dead-letters`."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, get_args

from shared.errors import DeadLetterCause
from shared.kafka.dead_letters import topic
from tests.support.harness import ConsumerHarness
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until


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


async def has_open_dead_letters(harness: ConsumerHarness, **by_cause: int) -> bool:
    """Whether the metrics of the latest consumer show these open dead letters."""
    causes = get_args(DeadLetterCause)
    counts = {c: harness.registry.get_sample_value("attune_dead_letters_open", {"cause": c}) for c in causes}
    return counts == {c: by_cause.get(c, 0) for c in counts}
