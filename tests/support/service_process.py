"""Runs the commands of a service as operators do: in processes."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

from shared.events.topics import CONSUMED_TOPICS
from shared.kafka.event_reader import EventReader
from shared.kafka.group_offsets import wait_until_caught_up
from shared.mongo.client import Document, Mongo
from shared.rebuild.job import EXPIRED_LEASE, RebuildJob
from shared.rebuild.view import NO_POLICY, ViewSource
from tests.support.serving import port_settings, wait_until

PARTITIONS = 6
"""Of each topic: several processes can share a rebuild."""


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
        return await self.start(**port_settings(), LOG_LEVEL="error", **settings)

    async def consume_everything(self) -> None:
        """Serve until the service has committed everything on its topics."""
        service = await self.serve()
        await self.wait_until_caught_up()
        service.terminate()
        await wait_for_exit(service)

    async def wait_until_caught_up(self) -> None:
        """Wait until the service has committed everything on its topics."""
        async with EventReader(self.servers, CONSUMED_TOPICS[self.service], ()) as reader:
            for partition in range(PARTITIONS):
                end_offsets = await reader.end_offsets(partition)
                assert await wait_until_caught_up(
                    self.servers, self.service, partition, end_offsets, timeout_seconds=120
                )

    async def kill_rebuild_in_each_phase(self, mongo: Mongo, other_job: RebuildJob) -> None:
        """Kill a rebuild after it has staged a part, and again after it has swapped in a part.

        `other_job` claims one task of each phase, so that no process finishes the phase before its lease expires.
        Afterwards all leases have expired, as they do by themselves (tests/integration/shared/test_rebuild_job.py).
        """
        assert await other_job.claim("read")
        await self._kill_rebuild_when(partial(has_tasks_in, mongo, "swap"))
        await expire_leases(mongo)
        assert await other_job.claim("swap")
        await self._kill_rebuild_when(partial(has_tasks_in, mongo, "done"))
        assert await has_tasks_in(mongo, "swap")
        await expire_leases(mongo)

    async def _kill_rebuild_when(self, condition: Callable[[], Awaitable[bool]]) -> None:
        process = await self.start("rebuild")
        await wait_until(condition, timeout_seconds=120)
        process.kill()
        assert (await wait_for_exit(process)).exit_code == -signal.SIGKILL


async def join_rebuild(servers: str, mongo: Mongo, source: ViewSource, policy: str = NO_POLICY) -> RebuildJob:
    """Join the rebuild of a service as another process."""
    job = RebuildJob(mongo)
    async with EventReader(servers, source.topics, source.event_types) as reader:
        await job.join(policy, await reader.message_counts())
    return job


async def insert_staged_rebuild(mongo: Mongo, policy: str, staging_collection: str, document: Document) -> None:
    """Insert an unfinished rebuild with one document to swap in, under the names that version 2d82b9e stored."""
    run, expired = uuid4(), datetime(1970, 1, 1, tzinfo=UTC)
    share = f"{run}/0000/0000"
    shares = [[0, 0, 1, 9]]
    await mongo["rebuild"].insert_one(
        {"_id": "rebuild", "run": run, "under": policy, "shares": shares, "begun_at": expired}
    )
    await mongo["rebuild_shares"].insert_one(
        {
            "_id": share,
            "run": run,
            "partition": 0,
            "slice": 0,
            "slices": 1,
            "messages": 9,
            "stage": "swap",
            "until": expired,
        }
    )
    await mongo[staging_collection].insert_one({"share": share, **document})


async def expire_leases(mongo: Mongo) -> None:
    await mongo["rebuild_shares"].update_many({}, {"$set": {"until": EXPIRED_LEASE}})


async def wait_for_exit(process: Process) -> CommandResult:
    out, err = await process.communicate()
    return CommandResult(process.returncode, out.decode(), err.decode())


async def count_tasks_by_phase(mongo: Mongo) -> Counter[str]:
    """The number of tasks of the last rebuild, by phase."""
    return Counter(task["stage"] for task in await mongo["rebuild_shares"].find().to_list(None))


async def has_tasks_in(mongo: Mongo, phase: str) -> bool:
    return bool((await count_tasks_by_phase(mongo))[phase])
