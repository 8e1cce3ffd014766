"""Runs the commands of a service as operators do: in processes, on a dedicated Kafka."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.events import Event
from shared.events.topics import Topic
from shared.kafka.topic_reader import TopicReader, wait_until_caught_up
from shared.mongo.client import Mongo
from tools.sandbox.servers import kafka
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports

PARTITIONS = 12


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a process."""

    exit_code: int | None
    stdout: str
    stderr: str

    def count_of(self, label: str) -> int:
        """The number before `label` in the summary at the end; 0 if there is none."""
        return next((int(line.split()[0]) for line in self.stdout.splitlines() if line.endswith(f" {label}")), 0)

    @property
    def differences(self) -> dict[str, str]:
        """The reported differences, by relationship."""
        return dict(line.split(": ", 1) for line in self.stdout.splitlines() if ": " in line)


@dataclass(frozen=True)
class ServiceRunner:
    """Starts the processes of one service on given servers."""

    service: str
    servers: str
    uri: str
    database: str

    async def start(self, *argv: str, **settings: str) -> Process:
        environment = {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "MONGODB_URI": self.uri,
            "MONGODB_DATABASE": self.database,
            **settings,
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"services.{self.service}", *argv, env=environment, stdout=PIPE, stderr=PIPE
        )

    async def run_command(self, *argv: str, **settings: str) -> CommandResult:
        return await wait_for_exit(await self.start(*argv, **settings))

    async def serve(self, **settings: str) -> Process:
        return await self.start(HTTP_PORT=str(free_ports(1)[0]), LOG_LEVEL="error", **settings)

    async def consume_everything(self, *topics: Topic, event_types: tuple[type[Event], ...]) -> None:
        """Serve until the service has committed everything on these topics."""
        service = await self.serve()
        await self.wait_until_caught_up(*topics, event_types=event_types)
        service.terminate()
        await wait_for_exit(service)

    async def wait_until_caught_up(self, *topics: Topic, event_types: tuple[type[Event], ...]) -> None:
        """Wait until the service has committed everything on these topics."""
        async with TopicReader(self.servers, topics, event_types) as reader:
            for partition in range(PARTITIONS):
                end_offsets = await reader.end_offsets(partition)
                assert await wait_until_caught_up(
                    self.servers, self.service, partition, end_offsets, timeout_seconds=120
                )


async def wait_for_exit(process: Process) -> CommandResult:
    out, err = await process.communicate()
    return CommandResult(process.returncode, out.decode(), err.decode())


async def count_tasks_by_phase(mongo: Mongo) -> Counter[str]:
    """The number of tasks of the last rebuild, by phase."""
    return Counter(task["stage"] for task in await mongo["rebuild_shares"].find().to_list(None))


@contextmanager
def dedicated_kafka(folder: Path) -> Iterator[str]:
    """A Kafka with all topics, which are empty: a rebuild reads everything."""
    with kafka.kafka_server(folder, *free_ports(2)) as server:
        create_topics(server.address, PARTITIONS)
        yield server.address
