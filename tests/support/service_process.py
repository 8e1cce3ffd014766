"""Rebuilds and verifications as their operators meet them: processes on a Kafka of their own."""

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
from shared.kafka.topic_reader import History, until_taken_in
from shared.mongo.client import Mongo
from tools.sandbox.servers import kafka
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports

PARTITIONS = 12


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int | None
    out: str
    err: str

    def counted(self, what: str) -> int:
        """The number before `what` among the sums at the end; 0 where it is not there."""
        return next((int(line.split()[0]) for line in self.out.splitlines() if line.endswith(f" {what}")), 0)

    @property
    def named(self) -> dict[str, str]:
        """What was said of single relationships."""
        return dict(line.split(": ", 1) for line in self.out.splitlines() if ": " in line)


@dataclass(frozen=True)
class Place:
    """A service, and where it works."""

    service: str
    servers: str
    uri: str
    database: str

    async def start(self, *given: str, **more: str) -> Process:
        environment = {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "MONGODB_URI": self.uri,
            "MONGODB_DATABASE": self.database,
            **more,
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"services.{self.service}", *given, env=environment, stdout=PIPE, stderr=PIPE
        )

    async def command(self, *given: str, **more: str) -> Ended:
        return await ended(await self.start(*given, **more))

    async def serve(self, **more: str) -> Process:
        return await self.start(HTTP_PORT=str(free_ports(1)[0]), LOG_LEVEL="error", **more)

    async def take_in_everything(self, *topics: Topic, kinds: tuple[type[Event], ...]) -> None:
        """Let the service commit all there is on these topics."""
        service = await self.serve()
        await self.until_taken_in(*topics, kinds=kinds)
        service.terminate()
        await ended(service)

    async def until_taken_in(self, *topics: Topic, kinds: tuple[type[Event], ...]) -> None:
        """Wait until the service has committed all there is on these topics."""
        async with History(self.servers, topics, kinds) as reader:
            for partition in range(PARTITIONS):
                end_offsets = await reader.ends(partition)
                assert await until_taken_in(self.servers, self.service, partition, end_offsets, within=120)


async def ended(process: Process) -> Ended:
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


async def shares(mongo: Mongo) -> Counter[str]:
    """How many shares of the last rebuild are at each stage."""
    return Counter(task["stage"] for task in await mongo["rebuild_shares"].find().to_list(None))


@contextmanager
def kafka_of_our_own(folder: Path) -> Iterator[str]:
    """With all topics and nothing on them: a rebuild reads all there is."""
    with kafka.server(folder, *free_ports(2)) as server:
        create_topics(server.address, PARTITIONS)
        yield server.address
