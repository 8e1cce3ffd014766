"""The system under test: its stores, two processes of each service, and the receivers of its messages."""

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shared.kafka.subscriber import ConsumerTimings
from tests.system.chaos import fault_points
from tests.system.chaos.stores import Stores, discard_output, run_stores
from tools.sandbox.network.entries import credentials_of
from tools.sandbox.network.receivers import (
    ReceivedEmail,
    ReceivedWebhook,
    receiver_settings,
    run_smtp_server,
    run_webhook_server,
)
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import IssuerConfiguration
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer, Report
from tools.sandbox.servers.stack import SERVICES, service_process

PROCESSES_PER_SERVICE = 2
SHORT_SESSION_TIMEOUT_MS = 6_000
"""Of a short run, whose time is mostly spent waiting for it; Kafka grants none that is shorter."""


@dataclass
class Process:
    """One process of a service."""

    service: str
    server: LocalServer
    ops_port: int
    trigger_file: Path
    """The file that its fault points look for."""

    @property
    def url(self) -> str:
        return f"http://{self.server.address}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    @property
    def is_paused(self) -> bool:
        """Whether SIGSTOP has paused it."""
        if self.server.process is None:
            return False
        try:
            return Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def send_signal(self, signal_to_send: signal.Signals) -> None:
        """Send it a signal, if it is still running."""
        if self.server.process is not None:
            with suppress(ProcessLookupError):
                self.server.process.send_signal(signal_to_send)

    def arm(self, fault_point: str, signal_to_send: signal.Signals) -> None:
        """Make it send itself a signal when it next reaches the fault point."""
        fault_points.arm(self.trigger_file, fault_point, signal_to_send)

    def disarm(self) -> Literal["disarmed", "fired"]:
        """Disarm its fault point, unless it has fired already: then the signal arrives now or in a moment."""
        try:
            self.trigger_file.unlink()
        except FileNotFoundError:
            return "fired"
        return "disarmed"

    async def kill(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def stop(self) -> None:
        await asyncio.to_thread(self.server.stop)


@dataclass
class Receiver:
    """A server that receives messages while it is started."""

    serve: Callable[[], AbstractContextManager[None]]
    _exit_stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        self._exit_stack.enter_context(self.serve())

    def stop(self) -> None:
        self._exit_stack.close()


class Rig:
    """Everything that runs. Blocking calls run in threads."""

    def __init__(self, data: Path, code_root: Path, is_short: bool) -> None:
        """On fresh `data`, with the code of the services in `code_root`."""
        self._data = data
        self._code_root = code_root
        self.session_timeout_ms = SHORT_SESSION_TIMEOUT_MS if is_short else ConsumerTimings().session_timeout_ms
        self.received_emails: list[ReceivedEmail] = []
        self.received_webhooks: list[ReceivedWebhook] = []
        self.processes: list[Process] = []
        self.spare_processes: list[Process] = []
        """One more process of each service, which may join and leave."""
        self.stores: Stores

    @contextmanager
    def run(self, report: Report) -> Iterator[None]:
        """Start everything; stop it afterwards."""
        smtp_port, webhook_port, issuer_port, *ports = free_ports(3 + 2 * len(SERVICES) * (PROCESSES_PER_SERVICE + 1))
        self.webhook_base_url = f"http://127.0.0.1:{webhook_port}"
        self.receivers = {
            "mail": Receiver(lambda: run_smtp_server(smtp_port, self.received_emails)),
            "webhook": Receiver(lambda: run_webhook_server(webhook_port, self.received_webhooks)),
        }
        with ExitStack() as exit_stack:
            self.stores = exit_stack.enter_context(run_stores(self._data, report))
            intake_url = f"http://127.0.0.1:{ports[0]}"
            configuration = IssuerConfiguration(front_doors=(intake_url,))
            issuer = exit_stack.enter_context(
                LocalIssuer(self._data / "issuer", issuer_port, configuration, report=discard_output)
            )
            self._service_settings = {
                **self.stores.settings,
                **issuer.service_settings,
                **receiver_settings(smtp_port),
                "DELIVERY_RETRY_SECONDS": "2",
            }
            for receiver in self.receivers.values():
                exit_stack.callback(receiver.stop)
                receiver.start()
            process_names = [(name, number + 1) for number in range(PROCESSES_PER_SERVICE + 1) for name in SERVICES]
            all_processes = [
                self._create_process(*process_name, port, ops_port)
                for process_name, port, ops_port in zip(process_names, ports[::2], ports[1::2], strict=True)
            ]
            self.processes, self.spare_processes = (
                all_processes[: PROCESSES_PER_SERVICE * len(SERVICES)],
                all_processes[PROCESSES_PER_SERVICE * len(SERVICES) :],
            )
            intake = self.processes_of("intake")[0]
            self.credentials = credentials_of(issuer, self.stores.mongodb.address, intake.url, intake.server)
            for process in all_processes:
                exit_stack.callback(process.server.kill)
            for process in self.processes:
                process.server.start()
            yield

    def processes_of(self, name: str) -> list[Process]:
        """The processes of a service."""
        return [process for process in self.processes if process.service == name]

    @property
    def urls(self) -> dict[str, Sequence[str]]:
        """The URLs of the processes of each service."""
        return {name: [process.url for process in self.processes_of(name)] for name in SERVICES}

    async def start(self, process: Process, clock_offset_seconds: float = 0) -> None:
        """Start it, with a clock that is wrong by `clock_offset_seconds`. It becomes ready some time later."""
        server, folder = process.server, process.server.data
        process.server.command = self._create_server(
            process.service, folder, server.port, process.ops_port, clock_offset_seconds
        ).command
        await asyncio.to_thread(server.start)

    def _create_process(self, name: str, number: int, port: int, ops_port: int) -> Process:
        folder = self._data / f"{name}-{number}"
        return Process(name, self._create_server(name, folder, port, ops_port), ops_port, folder / "armed")

    def _create_server(
        self, name: str, folder: Path, port: int, ops_port: int, clock_offset_seconds: float = 0
    ) -> LocalServer:
        chaos_settings = {
            "FAULT_POINT_FILE": str(folder / "armed"),
            "CLOCK_OFFSET_SECONDS": str(clock_offset_seconds),
            "SESSION_TIMEOUT_MS": str(self.session_timeout_ms),
        }
        module = ("tests.system.chaos.service", name)
        server = service_process(
            name,
            folder,
            port,
            ops_port,
            {**self._service_settings, **chaos_settings},
            module=module,
            code_root=self._code_root,
            report=discard_output,
        )
        server.is_ready = lambda: True  # the recovery time is measured, not waited for
        return server
