"""One lap: a contestant takes the backlog alone, watched from outside."""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench.stage import Servers
from bench.work import DATABASE
from deploy.local.process import CannotRun

GROUP = "alliance"
LOOK_EVERY = 0.1  # seconds between two looks at how far a contestant is
START_WITHIN = 60.0  # seconds; starting does not count
STOP_WITHIN = 20.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """Somebody who does the work, as a command."""

    name: str
    command: Sequence[str]
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lap:
    """What was seen of one contestant between the first commit and the last."""

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


async def run(contestant: Contestant, servers: Servers, log: Path, limit: float) -> Lap:
    """Let it take the backlog, for at most `limit` seconds. Raises CannotRun when it ends, or does not begin."""
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers.kafka.address,
        "MONGODB_URI": servers.mongodb.address,
        "DATABASE": DATABASE,
        "MONGODB_DATABASE": DATABASE,
        **contestant.settings,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(contestant.command, env=environment, stdout=output, stderr=output)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka.address)
    await admin.start()
    try:
        return await _watch(contestant, process, servers, admin, limit)
    finally:
        await admin.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _watch(
    contestant: Contestant,
    process: subprocess.Popen[bytes],
    servers: Servers,
    admin: AIOKafkaAdminClient,
    limit: float,
) -> Lap:
    assert servers.mongodb.process
    assert servers.kafka.process
    watched = [p.pid for p in (process, servers.mongodb.process, servers.kafka.process)]

    async def look() -> _Look:
        if process.poll() is not None:
            raise CannotRun(f"{contestant.name} ended with {process.returncode}")
        return _Look(time.perf_counter(), await _done(admin), *(_processor(each) for each in watched))

    begun = time.perf_counter()
    while not (first := await look()).done:
        if first.at - begun > START_WITHIN:
            raise CannotRun(f"{contestant.name} did not begin within {START_WITHIN:.0f} s")
        await asyncio.sleep(LOOK_EVERY)
    last = first
    while last.done < servers.facts and last.at - first.at < limit:
        await asyncio.sleep(LOOK_EVERY)
        last = await look()
    return Lap(
        contestant.name,
        last.done - first.done,
        last.at - first.at,
        last.own - first.own,
        last.mongodb - first.mongodb,
        last.kafka - first.kafka,
        _most_memory(process.pid),
    )


async def _done(admin: AIOKafkaAdminClient) -> int:
    """How many messages are committed."""
    try:
        committed = await admin.list_consumer_group_offsets(GROUP)
    except KafkaError:  # nobody has committed anything yet, so there is no such group
        return 0
    return sum(kept.offset for kept in committed.values() if kept.offset > 0)


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _most_memory(pid: int) -> int:
    """Bytes that a process has had at once, at most."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1024 * int(peak[1]) if peak else 0
