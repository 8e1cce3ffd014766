"""The system that is hurt: a real Kafka and MongoDB behind proxies, two processes of each service, real receivers."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.chaos import points
from deploy.local import kafka, mongod
from deploy.local.ports import free_ports
from deploy.local.process import LocalServer, Say
from deploy.local.stack import HOME, PARTITIONS, SERVICES, service
from deploy.simulation.receivers import Hook, Mail, mail_server, web_server
from shared.kafka.topics import TopicSettings, create

EACH = 2  # processes of a service
DISK_MB = 1500  # for MongoDB's data: room for its journal and half an hour of facts, and soon filled


@dataclass
class Process:
    """One process of a service, with the settings that it is started with."""

    service: str
    name: str
    server: LocalServer
    armed: Path

    @property
    def url(self) -> str:
        return f"http://{self.server.address}"


@dataclass
class Rig:
    """Everything that runs, by its name. What blocks runs beside the event loop."""

    data: Path
    home: Path
    """Where the code of the services lies."""
    mails: list[Mail] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    processes: dict[str, Process] = field(default_factory=dict)
    more: list[Process] = field(default_factory=list)
    """Spare ports for processes that join and leave."""
    disk: Path | None = None
    """The small disk that MongoDB writes on, where one could be made."""

    @contextmanager
    def running(self, say: Say) -> Iterator[None]:
        """Start it all; end it all afterwards."""
        with ExitStack() as ends:
            self._ends = ends
            self._start_stores(say)
            self._start_receivers()
            self._plan_processes()
            try:
                for process in self.processes.values():
                    process.server.start()
                yield
            finally:
                for process in [*self.processes.values(), *self.more]:
                    self.wake(process)
                    process.server.kill()

    def of(self, name: str) -> list[Process]:
        """The processes of a service."""
        return [process for process in self.processes.values() if process.service == name]

    @property
    def urls(self) -> dict[str, Sequence[str]]:
        """Where each process of each service is."""
        return {name: [process.url for process in self.of(name)] for name in SERVICES}

    def wake(self, process: Process) -> None:
        """Let a process that was stopped go on."""
        self.send(process, signal.SIGCONT)

    def send(self, process: Process, how: signal.Signals) -> None:
        """Send it a signal; one that has ended does not mind."""
        if process.server.process is not None:
            with suppress(ProcessLookupError):
                process.server.process.send_signal(how)

    def is_stopped(self, process: Process) -> bool:
        """Whether it stands still after SIGSTOP."""
        if process.server.process is None:
            return False
        try:
            return Path(f"/proc/{process.server.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    async def start(self, process: Process, clock_is_off_by: float = 0) -> None:
        """Start it, with a clock that is wrong by so many seconds. It is ready some time later."""
        process.server.command = self._server(
            process.service, process.name, process.server.port, clock_is_off_by
        ).command
        await asyncio.to_thread(process.server.start)

    async def kill(self, process: Process) -> None:
        await asyncio.to_thread(process.server.kill)

    async def end(self, process: Process) -> None:
        await asyncio.to_thread(process.server.stop)

    def order(self, store: str, what: str) -> None:
        """Have the connections to a store pass as in `deploy.chaos.proxy`."""
        pipe = self._proxies[store].stdin
        assert pipe
        pipe.write(f"{what}\n".encode())
        pipe.flush()

    def _start_stores(self, say: Say) -> None:
        broker, controller, aside, kafka_at, database, mongodb_at = free_ports(6)
        self.kafka = kafka.server(
            self.data / "kafka", broker, controller, aside=kafka.Aside(aside, kafka_at), say=_silent
        )
        self.disk = self._small_disk(say)
        self.mongodb = mongod.server(self.disk or self.data / "mongodb", database, say=_silent)
        for store in (self.kafka, self.mongodb):
            self._ends.callback(store.kill)
            store.start()
        asyncio.run(create(TopicSettings(kafka_bootstrap_servers=self.kafka.address, kafka_partitions=PARTITIONS)))
        self._proxies = {"kafka": _proxy(kafka_at, aside), "mongodb": _proxy(mongodb_at, database)}
        for proxy in self._proxies.values():
            self._ends.callback(_end, proxy)
        self._settings = {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka_at}",
            # The replica set would tell drivers where MongoDB really is, past the proxy.
            "MONGODB_URI": f"mongodb://127.0.0.1:{mongodb_at}/?directConnection=true",
            "DELIVERY_RETRY_SECONDS": "2",
        }

    def _start_receivers(self) -> None:
        mail, hook = free_ports(2)
        self.webhooks = f"http://127.0.0.1:{hook}"
        self._settings |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail)}
        self._receivers = {"mail": (mail_server, mail, self.mails), "webhook": (web_server, hook, self.hooks)}
        self._serving = {name: self._ends.enter_context(ExitStack()) for name in self._receivers}
        for name in self._receivers:
            self.take_up(name)

    def take_up(self, receiver: str) -> None:
        """Have a receiver answer again."""
        serve, port, received = self._receivers[receiver]
        self._serving[receiver].enter_context(serve(port, received))  # type: ignore[operator] # each has its own kind

    def take_down(self, receiver: str) -> None:
        """Have nobody listen where a receiver was."""
        self._serving[receiver].close()

    def _plan_processes(self) -> None:
        ports = iter(free_ports(len(SERVICES) * (EACH + 1)))
        for number in range(EACH + 1):
            for name in SERVICES:
                process = self._process(name, f"{name}-{number + 1}", next(ports))
                if number < EACH:
                    self.processes[process.name] = process
                else:
                    self.more.append(process)

    def _process(self, name: str, full: str, port: int) -> Process:
        return Process(name, full, self._server(name, full, port), self.data / full / "armed")

    def _server(self, name: str, full: str, port: int, clock_is_off_by: float = 0) -> LocalServer:
        armed = self.data / full / "armed"
        settings = {**self._settings, "ARMED_BY": str(armed), "CLOCK_IS_OFF_BY": str(clock_is_off_by)}
        run = ("deploy.chaos.service", name)
        server = service(name, self.data / full, port, settings, module=run, home=self.home, say=_silent)
        server.answers = lambda: True  # how long it takes to be ready is measured, not waited for
        return server

    def _small_disk(self, say: Say) -> Path | None:
        """A small disk in memory, where this machine lets us mount one."""
        disk = self.data / "disk"
        disk.mkdir(parents=True)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)], capture_output=True, check=False
        )
        if mounted.returncode:
            say("no small disk can be mounted here, so no disk is filled up")
            return None
        self._ends.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=False)
        return disk

    def fill_disk(self) -> None:
        """Leave no room for MongoDB to write in."""
        assert self.disk
        with suppress(OSError), (self.disk / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, shutil.disk_usage(self.disk).free)

    def empty_disk(self) -> None:
        assert self.disk
        (self.disk / "ballast").unlink()

    def arm(self, process: Process, point: str, how: signal.Signals) -> None:
        points.arm(process.armed, point, how)

    def disarm(self, process: Process) -> bool:
        """Whether it was still armed, and so never came by."""
        try:
            process.armed.unlink()
        except FileNotFoundError:
            return False
        return True


def _proxy(port: int, target: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.chaos.proxy", str(port), str(target)],
        stdin=subprocess.PIPE,
        cwd=HOME,
        process_group=0,
    )


def _end(proxy: "subprocess.Popen[bytes]") -> None:
    proxy.kill()
    proxy.wait()


def _silent(_line: str) -> None:
    """What starts and stops is the timeline's to tell."""
