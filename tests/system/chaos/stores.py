"""Kafka and MongoDB, each behind a proxy that can be slow, silent or cut, and MongoDB on a disk that can be full."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tools.sandbox.servers import kafka, mongod
from tools.sandbox.servers.kafka_inspector import create_topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import HOME, LocalServer, Say
from tools.sandbox.servers.stack import PARTITIONS

DISK_MB = 1500  # room for MongoDB's journal and half an hour of facts, and soon filled


@dataclass(frozen=True)
class Stores:
    """What the services keep everything in."""

    kafka: LocalServer
    mongodb: LocalServer
    proxies: "Mapping[str, subprocess.Popen[bytes]]"
    settings: Mapping[str, str]
    """That lead the services to the proxies."""
    disk: Path | None
    """The small disk that MongoDB writes on, where one could be made."""

    def order(self, store: str, what: str) -> None:
        """Have the connections to a store pass as in `tests.system.chaos.proxy`."""
        pipe = self.proxies[store].stdin
        assert pipe
        pipe.write(f"{what}\n".encode())
        pipe.flush()

    def fill_disk(self) -> None:
        """Leave no room for MongoDB to write in."""
        assert self.disk
        with suppress(OSError), (self.disk / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, shutil.disk_usage(self.disk).free)

    def empty_disk(self) -> None:
        """Give the room back."""
        assert self.disk
        (self.disk / "ballast").unlink()


@contextmanager
def stores(data: Path, say: Say) -> Iterator[Stores]:
    """Start them with their topics; kill them afterwards."""
    broker, controller, aside, kafka_at, database, mongodb_at = free_ports(6)
    with ExitStack() as ends:
        disk = ends.enter_context(_small_disk(data / "disk", say))
        servers = (
            kafka.server(data / "kafka", broker, controller, aside=kafka.Aside(aside, kafka_at), say=silent),
            mongod.server(disk or data / "mongodb", database, say=silent),
        )
        for server in servers:
            ends.callback(server.kill)
            server.start()
        create_topics(servers[0].address, PARTITIONS)
        proxies = {
            "kafka": ends.enter_context(_proxy(kafka_at, aside)),
            "mongodb": ends.enter_context(_proxy(mongodb_at, database)),
        }
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka_at}",
            # The replica set would tell drivers where MongoDB really is, past the proxy.
            "MONGODB_URI": f"mongodb://127.0.0.1:{mongodb_at}/?directConnection=true",
        }
        yield Stores(*servers, proxies, settings, disk)


@contextmanager
def _small_disk(disk: Path, say: Say) -> Iterator[Path | None]:
    """A small disk in memory, where this machine lets us mount one."""
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        say("no small disk can be mounted here, so no disk is filled up")
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


@contextmanager
def _proxy(port: int, target: int) -> "Iterator[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "tests.system.chaos.proxy", str(port), str(target)]
    proxy = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=HOME, process_group=0)
    try:
        yield proxy
    finally:
        proxy.kill()
        proxy.wait()


def silent(_line: str) -> None:
    """What starts and stops is the timeline's to tell."""
