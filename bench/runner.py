"""One lap: a contestant takes the backlog alone, watched from outside."""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from pymongo import MongoClient

from bench.testbed import Servers
from bench.workload import DATABASE
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import CannotRun

HOME = Path(__file__).parents[1]
GROUP = "alliance"
LOOK_EVERY = 0.1  # seconds between two looks at how far a contestant is
START_WITHIN = 60.0  # seconds; starting does not count
STOP_WITHIN = 20.0
SETTLE = 5.0  # seconds in which several processes find to their shares


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who does the work, as a command."""

    name: str
    command: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    commits: bool = True
    """After each batch; how far others are is seen by the facts that they wrote."""


@dataclass(frozen=True, slots=True)
class Lap:
    """What was seen of one contestant between its first batch and the last."""

    contestant: str
    events: int
    seconds: float
    own: float
    mongodb: float
    kafka: float
    """Seconds of processor time."""
    memory: int
    """Bytes, at most."""

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    def microseconds(self, seconds: float) -> float:
        """For each event."""
        return 1e6 * seconds / self.events


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    done: int
    own: float
    mongodb: float
    kafka: float


Spy = Callable[[int], subprocess.Popen[bytes]]
"""Begins to look at a process, until it is interrupted."""


async def run(
    implementation: Contestant,
    servers: Servers,
    log: Path,
    max_seconds: float,
    processes: int = 1,
    spy: Spy | None = None,
) -> Lap:
    """Let it take the backlog, for at most `limit` seconds. Raises CannotRun when it ends, or does not begin."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka.address)
    await admin.start()
    try:
        with (
            MongoClient[dict[str, Any]](servers.mongodb.address) as mongo,
            running(implementation, servers, log, processes) as process_ids,
        ):
            events = mongo[DATABASE]["facts"]
            count_before = events.estimated_document_count()

            async def done() -> int:
                if implementation.commits:
                    return await _committed(admin)
                return await asyncio.to_thread(events.estimated_document_count) - count_before

            return await _Watch(implementation, process_ids, servers, done).lap(max_seconds, spy)
    finally:
        await admin.close()


@contextmanager
def running(implementation: Contestant, servers: Servers, log: Path, processes: int) -> Iterator[list[int]]:
    """So many processes of it; their ids."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(HOME),
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka.address,
        "MONGODB_URI": servers.mongodb.address,
        "DATABASE": DATABASE,
        "MONGODB_DATABASE": DATABASE,
        **implementation.settings,
    }
    with log.open("ab") as output:
        subprocesses = [
            subprocess.Popen(
                implementation.command, env=environment | {"HTTP_PORT": str(port)}, stdout=output, stderr=output
            )
            for port in free_ports(processes)
        ]
    try:
        yield [process.pid for process in subprocesses]
    finally:
        for process in subprocesses:
            process.send_signal(signal.SIGTERM)
        for process in subprocesses:
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Watch:
    """Somebody beside the track with a watch."""

    def __init__(
        self, implementation: Contestant, processes: Sequence[int], servers: Servers, done: Callable[[], Any]
    ) -> None:
        assert servers.mongodb.process
        assert servers.kafka.process
        self._contestant, self._processes, self._done = implementation, processes, done
        self._mongodb, self._kafka = servers.mongodb.process.pid, servers.kafka.process.pid
        self._all = servers.facts

    async def lap(self, max_seconds: float, spy: Spy | None) -> Lap:
        started_at = time.perf_counter()
        while not (first := await self._look()).done:
            if first.at - started_at > START_WITHIN:
                raise CannotRun(f"{self._contestant.name} did not begin within {START_WITHIN:.0f} s")
            await asyncio.sleep(LOOK_EVERY)
        if len(self._processes) > 1:
            await asyncio.sleep(SETTLE)
            first = await self._look()
        profiler = spy(self._processes[0]) if spy else None
        last = first
        while last.done < self._all and last.at - first.at < max_seconds:
            await asyncio.sleep(LOOK_EVERY)
            last = await self._look()
        if profiler:
            profiler.send_signal(signal.SIGINT)
            await asyncio.to_thread(profiler.wait)
        return Lap(
            self._contestant.name,
            last.done - first.done,
            last.at - first.at,
            last.own - first.own,
            last.mongodb - first.mongodb,
            last.kafka - first.kafka,
            sum(map(_most_memory, self._processes)),
        )

    async def _look(self) -> _Look:
        sampled_at, handled = time.perf_counter(), await self._done()
        own_cpu_seconds = sum(map(self._processor, self._processes))
        return _Look(sampled_at, handled, own_cpu_seconds, self._processor(self._mongodb), self._processor(self._kafka))

    def _processor(self, pid: int) -> float:
        """Seconds of processor time that a process has had. Raises CannotRun when it has ended."""
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if state == "Z":
            raise CannotRun(f"{self._contestant.name} ended")
        return (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")


async def _committed(admin: AIOKafkaAdminClient) -> int:
    """How many messages are committed."""
    try:
        committed = await admin.list_consumer_group_offsets(GROUP)
    except KafkaError:  # nobody has committed anything yet, so there is no such group
        return 0
    return sum(partition_offset.offset for partition_offset in committed.values() if partition_offset.offset > 0)


def _most_memory(pid: int) -> int:
    """Bytes that a process has had at once, at most."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1024 * int(peak[1]) if peak else 0
