"""Kafka and MongoDB, each behind a proxy that can be slow, silent or cut, and MongoDB on a disk that can be filled."""

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
from tools.sandbox.servers.process import PROJECT_ROOT, LocalServer, Report
from tools.sandbox.servers.stack import PARTITION_COUNT

DISK_MB = 1500  # enough for MongoDB's journal and half an hour of events, and quick to fill


@dataclass(frozen=True)
class Stores:
    """Kafka and MongoDB as the services use them."""

    kafka: LocalServer
    mongodb: LocalServer
    proxies: "Mapping[str, subprocess.Popen[bytes]]"
    settings: Mapping[str, str]
    """Settings that point the services at the proxies."""
    disk: Path | None
    """The small disk of MongoDB; None if it could not be mounted."""

    def set_proxy_mode(self, store: str, command: str) -> None:
        """Send a command (see `tests.system.chaos.proxy`) to the proxy of a store."""
        pipe = self.proxies[store].stdin
        assert pipe
        pipe.write(f"{command}\n".encode())
        pipe.flush()

    def fill_disk(self) -> None:
        """Fill the disk of MongoDB completely."""
        assert self.disk
        with suppress(OSError), (self.disk / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, shutil.disk_usage(self.disk).free)

    def empty_disk(self) -> None:
        """Free the space again."""
        assert self.disk
        (self.disk / "ballast").unlink()


@contextmanager
def run_stores(data: Path, report: Report) -> Iterator[Stores]:
    """Start both, with their topics; kill them afterwards."""
    broker_port, controller_port, proxied_port, kafka_proxy_port, database_port, mongodb_proxy_port = free_ports(6)
    with ExitStack() as exit_stack:
        disk = exit_stack.enter_context(_mount_small_disk(data / "disk", report))
        servers = (
            kafka.kafka_server(
                data / "kafka",
                broker_port,
                controller_port,
                proxied=kafka.ProxiedListener(proxied_port, kafka_proxy_port),
                report=discard_output,
            ),
            mongod.mongodb_server(disk or data / "mongodb", database_port, report=discard_output),
        )
        for server in servers:
            exit_stack.callback(server.kill)
            server.start()
        create_topics(servers[0].address, PARTITION_COUNT)
        proxies = {
            "kafka": exit_stack.enter_context(_run_proxy(kafka_proxy_port, proxied_port)),
            "mongodb": exit_stack.enter_context(_run_proxy(mongodb_proxy_port, database_port)),
        }
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka_proxy_port}",
            # Without a direct connection the replica set would send drivers past the proxy.
            "MONGODB_URI": f"mongodb://127.0.0.1:{mongodb_proxy_port}/?directConnection=true",
        }
        yield Stores(*servers, proxies, settings, disk)


@contextmanager
def _mount_small_disk(disk: Path, report: Report) -> Iterator[Path | None]:
    """A small in-memory disk; None if this machine does not allow mounting one."""
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        report("cannot mount a small disk here; the full-disk fault is skipped")
        yield None
        return
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=False)


@contextmanager
def _run_proxy(port: int, target: int) -> "Iterator[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "tests.system.chaos.proxy", str(port), str(target)]
    proxy = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=PROJECT_ROOT, process_group=0)
    try:
        yield proxy
    finally:
        proxy.kill()
        proxy.wait()


def discard_output(_line: str) -> None:
    """Ignore a line about starting or stopping: the timeline of the run shows it."""
