"""One run: an implementation handles the backlog alone and is measured from outside."""

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
from tools.sandbox.servers.issuer_configuration import UNUSED_ISSUER
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import RunError

REPOSITORY = Path(__file__).parents[1]
CONSUMER_GROUP = "alliance"
SAMPLE_INTERVAL_SECONDS = 0.1
START_TIMEOUT_SECONDS = 60.0  # starting is not measured
STOP_TIMEOUT_SECONDS = 20.0
REBALANCE_SECONDS = 5.0  # in which several processes join the consumer group; not measured


@dataclass(frozen=True, slots=True)
class Implementation:
    """An implementation of the work, as a command."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    commits_batches: bool = True
    """Whether offsets are committed after each batch; if not, the stored events show the progress."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The measurements of one implementation from its first batch to its last."""

    implementation: str
    events: int
    seconds: float
    own_cpu_seconds: float
    mongodb_cpu_seconds: float
    kafka_cpu_seconds: float
    peak_memory_bytes: int

    @property
    def events_per_second(self) -> float:
        return self.events / self.seconds

    def microseconds_per_event(self, seconds: float) -> float:
        return 1e6 * seconds / self.events


@dataclass(frozen=True, slots=True)
class _Sample:
    sampled_at: float
    handled: int
    own_cpu_seconds: float
    mongodb_cpu_seconds: float
    kafka_cpu_seconds: float


StartProfiler = Callable[[int], subprocess.Popen[bytes]]
"""Starts to profile the process with this id, until interrupted."""


async def run(
    implementation: Implementation,
    servers: Servers,
    log: Path,
    max_seconds: float,
    process_count: int = 1,
    start_profiler: StartProfiler | None = None,
) -> RunResult:
    """Let it handle the backlog for at most `max_seconds`. Raises RunError if it ends, or does not start in time."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka.address)
    await admin.start()
    try:
        with (
            MongoClient[dict[str, Any]](servers.mongodb.address) as mongo,
            run_processes(implementation, servers, log, process_count) as process_ids,
        ):
            events = mongo[DATABASE]["facts"]
            count_before = events.estimated_document_count()

            async def count_handled() -> int:
                if implementation.commits_batches:
                    return await _count_committed(admin) - servers.committed_count
                return await asyncio.to_thread(events.estimated_document_count) - count_before

            return await _Observer(implementation, process_ids, servers, count_handled).observe(
                max_seconds, start_profiler
            )
    finally:
        await admin.close()


def count_stored_events(servers: Servers) -> int:
    """How many events the database holds."""
    with MongoClient[dict[str, Any]](servers.mongodb.address) as mongo:
        return mongo[DATABASE]["facts"].count_documents({})


@contextmanager
def run_processes(
    implementation: Implementation, servers: Servers, log: Path, process_count: int
) -> Iterator[list[int]]:
    """Run so many processes of the implementation; yields their ids."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka.address,
        "MONGODB_URI": servers.mongodb.address,
        "DATABASE": DATABASE,
        "MONGODB_DATABASE": DATABASE,
        **UNUSED_ISSUER,
        **implementation.environment,
    }
    ports = free_ports(2 * process_count)
    with log.open("ab") as output:
        subprocesses = [
            subprocess.Popen(
                implementation.command,
                env=environment | {"HTTP_PORT": str(port), "OPS_PORT": str(ops_port)},
                stdout=output,
                stderr=output,
            )
            for port, ops_port in zip(ports[:process_count], ports[process_count:], strict=True)
        ]
    try:
        yield [process.pid for process in subprocesses]
    finally:
        for process in subprocesses:
            process.send_signal(signal.SIGTERM)
        for process in subprocesses:
            try:
                process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Observer:
    """Measures the progress and the CPU time of a running implementation."""

    def __init__(
        self,
        implementation: Implementation,
        process_ids: Sequence[int],
        servers: Servers,
        count_handled: Callable[[], Any],
    ) -> None:
        assert servers.mongodb.process
        assert servers.kafka.process
        self._implementation, self._process_ids, self._count_handled = implementation, process_ids, count_handled
        self._mongodb_pid, self._kafka_pid = servers.mongodb.process.pid, servers.kafka.process.pid
        self._backlog = servers.event_count

    async def observe(self, max_seconds: float, start_profiler: StartProfiler | None) -> RunResult:
        started_at = time.perf_counter()
        while (first := await self._sample()).handled <= 0:
            if first.sampled_at - started_at > START_TIMEOUT_SECONDS:
                raise RunError(f"{self._implementation.name} did not start within {START_TIMEOUT_SECONDS:.0f} s")
            await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)
        if len(self._process_ids) > 1:
            await asyncio.sleep(REBALANCE_SECONDS)
            first = await self._sample()
        profiler = start_profiler(self._process_ids[0]) if start_profiler else None
        last = first
        while last.handled < self._backlog and last.sampled_at - first.sampled_at < max_seconds:
            await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)
            last = await self._sample()
        if profiler:
            profiler.send_signal(signal.SIGINT)
            await asyncio.to_thread(profiler.wait)
        if last.handled == first.handled:
            raise RunError(f"{self._implementation.name} handled no event while it was measured; let it handle more")
        return RunResult(
            self._implementation.name,
            last.handled - first.handled,
            last.sampled_at - first.sampled_at,
            last.own_cpu_seconds - first.own_cpu_seconds,
            last.mongodb_cpu_seconds - first.mongodb_cpu_seconds,
            last.kafka_cpu_seconds - first.kafka_cpu_seconds,
            sum(map(_peak_memory_bytes, self._process_ids)),
        )

    async def _sample(self) -> _Sample:
        sampled_at, handled = time.perf_counter(), await self._count_handled()
        own_cpu_seconds = sum(map(self._cpu_seconds, self._process_ids))
        return _Sample(
            sampled_at,
            handled,
            own_cpu_seconds,
            self._cpu_seconds(self._mongodb_pid),
            self._cpu_seconds(self._kafka_pid),
        )

    def _cpu_seconds(self, pid: int) -> float:
        """The CPU time of a process so far. Raises RunError if the process has ended."""
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if state == "Z":
            raise RunError(f"{self._implementation.name} ended")
        return (int(fields[10]) + int(fields[11])) / os.sysconf("SC_CLK_TCK")


async def _count_committed(admin: AIOKafkaAdminClient) -> int:
    """How many messages the consumer group has committed."""
    try:
        committed = await admin.list_consumer_group_offsets(CONSUMER_GROUP)
    except KafkaError:  # the group does not exist before the first commit
        return 0
    return sum(partition_offset.offset for partition_offset in committed.values() if partition_offset.offset > 0)


def _peak_memory_bytes(pid: int) -> int:
    """The largest resident memory of a process so far."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1024 * int(peak[1]) if peak else 0
