"""The system that is hurt: its stores, two processes of each service, and the receivers of its messages."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.chaos import fault_points
from tests.system.chaos.stores import Stores, silent, stores
from tools.sandbox.network.receivers import Hook, Mail, mail_server, web_server
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer, Say
from tools.sandbox.servers.stack import SERVICES, service

EACH = 2  # processes of a service


@dataclass
class Process:
    """One process of a service."""

    service: str
    server: LocalServer
    armed: Path
    """The file that its points look for."""

    @property
    def url(self) -> str:
        return f"http://{self.server.address}"

    @property
    def stands_still(self) -> bool:
        """Whether it does nothing since a SIGSTOP."""
        if self.server.process is None:
            return False
        try:
            return Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def send(self, how: signal.Signals) -> None:
        """Send it a signal; one that has ended does not mind."""
        if self.server.process is not None:
            with suppress(ProcessLookupError):
                self.server.process.send_signal(how)

    def arm(self, point: str, how: signal.Signals) -> None:
        """Let it send itself a signal when it next comes by that point."""
        fault_points.arm(self.armed, point, how)

    def disarm(self) -> bool:
        """Whether it had not come by until now. One that had is hit, now or in a moment."""
        try:
            self.armed.unlink()
        except FileNotFoundError:
            return False
        return True

    async def kill(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def end(self) -> None:
        await asyncio.to_thread(self.server.stop)


@dataclass
class Receiver:
    """Where messages arrive, unless it is away."""

    serve: Callable[[], AbstractContextManager[None]]
    _serving: ExitStack = field(default_factory=ExitStack)

    def take_up(self) -> None:
        self._serving.enter_context(self.serve())

    def take_down(self) -> None:
        self._serving.close()


class Rig:
    """Everything that runs. What blocks runs beside the event loop."""

    def __init__(self, data: Path, home: Path) -> None:
        """On fresh `data`, with the code of the services that lies at `home`."""
        self._data = data
        self._home = home
        self.mails: list[Mail] = []
        self.hooks: list[Hook] = []
        self.processes: list[Process] = []
        self.spare: list[Process] = []
        """One more of each service, that may join and leave."""
        self.stores: Stores

    @contextmanager
    def running(self, say: Say) -> Iterator[None]:
        """Start it all; end it all afterwards."""
        smtp_port, webhook_port, *ports = free_ports(2 + len(SERVICES) * (EACH + 1))
        self.webhooks = f"http://127.0.0.1:{webhook_port}"
        self.receivers = {
            "mail": Receiver(lambda: mail_server(smtp_port, self.mails)),
            "webhook": Receiver(lambda: web_server(webhook_port, self.hooks)),
        }
        with ExitStack() as exit_stack:
            self.stores = exit_stack.enter_context(stores(self._data, say))
            self._settings = {
                **self.stores.settings,
                "SMTP_HOST": "127.0.0.1",
                "SMTP_PORT": str(smtp_port),
                "DELIVERY_RETRY_SECONDS": "2",
            }
            for receiver in self.receivers.values():
                exit_stack.callback(receiver.take_down)
                receiver.take_up()
            process_names = [(name, number + 1) for number in range(EACH + 1) for name in SERVICES]
            all_processes = [
                self._process(*process_name, port) for process_name, port in zip(process_names, ports, strict=True)
            ]
            self.processes, self.spare = all_processes[: EACH * len(SERVICES)], all_processes[EACH * len(SERVICES) :]
            for process in all_processes:
                exit_stack.callback(process.server.kill)
            for process in self.processes:
                process.server.start()
            yield

    def of(self, name: str) -> list[Process]:
        """The processes of a service."""
        return [process for process in self.processes if process.service == name]

    @property
    def urls(self) -> dict[str, Sequence[str]]:
        """Where each process of each service is."""
        return {name: [process.url for process in self.of(name)] for name in SERVICES}

    async def start(self, process: Process, clock_offset_seconds: float = 0) -> None:
        """Start it, with a clock that is wrong by so many seconds. It is ready some time later."""
        server, folder = process.server, process.server.data
        process.server.command = self._server(process.service, folder, server.port, clock_offset_seconds).command
        await asyncio.to_thread(server.start)

    def _process(self, name: str, number: int, port: int) -> Process:
        folder = self._data / f"{name}-{number}"
        return Process(name, self._server(name, folder, port), folder / "armed")

    def _server(self, name: str, folder: Path, port: int, clock_offset_seconds: float = 0) -> LocalServer:
        chaos_settings = {"ARMED_BY": str(folder / "armed"), "CLOCK_IS_OFF_BY": str(clock_offset_seconds)}
        module = ("tests.system.chaos.service", name)
        server = service(
            name, folder, port, {**self._settings, **chaos_settings}, module=module, home=self._home, say=silent
        )
        server.answers = lambda: True  # how long it takes to be ready is measured, not waited for
        return server
