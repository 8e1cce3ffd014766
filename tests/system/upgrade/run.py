"""One run: start servers, load the recording, start the current services, wait until idle, and check."""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import httpx2

from tests.system.support.checks import Checks
from tests.system.upgrade import backlog, checker
from tests.system.upgrade.archive import Recording
from tests.system.upgrade.expectations import Expectations
from tests.system.upgrade.loader import load, with_webhooks_at
from tests.system.upgrade.shift import offset_to, shift
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Clinic
from tools.sandbox.network.entries import credentials_of
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.receivers import (
    ReceivedEmail,
    ReceivedWebhook,
    receiver_settings,
    run_smtp_server,
    run_webhook_server,
)
from tools.sandbox.network.staff import administrator_of, clinician_as_staff
from tools.sandbox.servers import kafka, mongod
from tools.sandbox.servers.inspection import wait_until_idle
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import IssuerConfiguration
from tools.sandbox.servers.kafka_inspector import KafkaInspector, create_topics
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import LocalServer, Report
from tools.sandbox.servers.stack import SERVICES, service_process

FINISH_TIMEOUT_SECONDS = 100.0
"""How long the services may take to complete all unfinished work."""
IDLE_TIMEOUT_SECONDS = 20.0
REBUILT_SERVICES = ("sessions", "alliance", "notify")
CHECK_INTERVAL_SECONDS = 2.0


@dataclass
class UpgradeRun:
    """The servers of a run, and the messages that it received."""

    recording: Recording
    data: Path
    checks: Checks
    report: Report
    emails: list[ReceivedEmail] = field(default_factory=list)
    webhooks: list[ReceivedWebhook] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    ops_urls: dict[str, str] = field(default_factory=dict)
    _ledger: Ledger = field(default_factory=Ledger)
    """What was acknowledged after the recording."""

    def execute(self) -> None:
        """Start, load, start the services, and check. Raises RunError and LoadError."""
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it logs many warnings while the broker starts
        broker, controller, database, issuer_port, mail, hook, *ports = free_ports(6 + 2 * len(SERVICES))
        with ExitStack() as exit_stack:
            exit_stack.enter_context(run_smtp_server(mail, self.emails))
            exit_stack.enter_context(run_webhook_server(hook, self.webhooks))
            stores = (
                kafka.kafka_server(self.data / "kafka", broker, controller, report=self.report),
                mongod.mongodb_server(self.data / "mongodb", database, report=self.report),
            )
            exit_stack.enter_context(_run_servers(stores))
            self._kafka, self._mongodb = (server.address for server in stores)
            self._load(f"http://127.0.0.1:{hook}")
            configuration = IssuerConfiguration(front_doors=(f"http://127.0.0.1:{ports[0]}",))
            issuer = exit_stack.enter_context(
                LocalIssuer(self.data / "issuer", issuer_port, configuration, report=self.report)
            )
            settings = {
                "KAFKA_BOOTSTRAP_SERVERS": self._kafka,
                "MONGODB_URI": self._mongodb,
                **issuer.service_settings,
                **receiver_settings(mail),
            }
            self._services = [
                service_process(name, self.data / name, port, ops_port, settings, report=self.report)
                for name, port, ops_port in zip(SERVICES, ports[::2], ports[1::2], strict=True)
            ]
            intake = self._services[0]
            self._credentials = credentials_of(issuer, self._mongodb, f"http://{intake.address}", intake)
            exit_stack.enter_context(_run_servers(self._services))
            self.checks.expect("the current services start on the recorded data", True)
            self.urls = {server.name: f"http://{server.address}" for server in self._services}
            self.ops_urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(SERVICES, ports[1::2], strict=True)}
            asyncio.run(self._check())

    def _load(self, webhooks: str) -> None:
        started_at = time.monotonic()
        partitions = self.recording.manifest.partitions
        create_topics(self._kafka, partitions)
        offset = offset_to(self.recording, datetime.now(UTC))
        self.recording = with_webhooks_at(shift(self.recording, offset), webhooks)
        asyncio.run(load(self.recording, self._kafka, self._mongodb))
        self.report(f"loaded in {time.monotonic() - started_at:.1f} s, all times shifted by {offset}")

    async def _let_in(self) -> None:
        """Let in the recorded clinics and clinicians, whom an older version asked for no credentials."""
        clinicians, urls = checker.recorded_clinicians(self.recording), {name: [url] for name, url in self.urls.items()}
        async with ClinicSystems(urls, self._credentials, self._ledger) as clinic_systems:
            for clinic_id in {clinician.clinic_id for clinician in clinicians}:
                clinic = Clinic(clinic_id, "Recorded Clinic", "UTC")
                await self._credentials.let_in_administrator(administrator_of(clinic))
                await clinic_systems.add_staff(clinic)
            for clinician in clinicians:
                await clinic_systems.employ(clinician_as_staff(clinician))

    async def _check(self) -> None:
        expected = Expectations.model_validate(self.recording.expected)
        async with KafkaInspector(self._kafka) as kafka_inspector, httpx2.AsyncClient(timeout=30) as http:

            async def fetch(name: str, path: str, clinician: UUID | None) -> httpx2.Response:
                auth = self._credentials.clinician(clinician) if clinician else None
                return await http.get(self.urls[name] + path, auth=auth)

            await self._let_in()

            started_at = time.monotonic()
            await self._wait_until_finished(kafka_inspector, fetch, expected)
            await self._rebuild()
            idle = await wait_until_idle(kafka_inspector, (self.emails, self.webhooks), IDLE_TIMEOUT_SECONDS)
            elapsed = f"after {time.monotonic() - started_at:.0f} s"
            self.checks.expect("the system becomes idle, with no lag", idle, elapsed)
            observation = await backlog.observe(
                kafka_inspector, self.recording, self.emails, self.webhooks, fetch, expected
            )
            await backlog.check(expected, observation, self._kafka, fetch, self.checks)
        evidence = checker.evidence(
            self.recording,
            self.emails,
            self.webhooks,
            self._kafka,
            self._mongodb,
            self._credentials,
            self._ledger.requests,
            self.urls,
            self.ops_urls,
        )
        await checker.check(evidence, expected, self.checks)

    async def _rebuild(self) -> None:
        """What CHANGELOG.md asks for after the upgrade: stored views of before are brought to the rules of now."""
        for service in self._services:
            if service.name in REBUILT_SERVICES:
                process = await asyncio.create_subprocess_exec(
                    *service.command, "rebuild", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
                )
                output, _ = await process.communicate()
                self.report(f"{service.name} rebuild: {output.decode(errors='replace').strip()}")
                self.checks.expect(f"{service.name} is rebuilt", process.returncode == 0)

    async def _wait_until_finished(
        self, kafka_inspector: KafkaInspector, fetch: backlog.Fetch, expected: Expectations
    ) -> None:
        """Wait until all unfinished work is done, or until the timeout."""
        deadline = time.monotonic() + FINISH_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            observation = await backlog.observe(
                kafka_inspector, self.recording, self.emails, self.webhooks, fetch, expected
            )
            if not backlog.unfinished(expected, observation):
                return
            await asyncio.sleep(CHECK_INTERVAL_SECONDS)


@contextmanager
def _run_servers(servers: Sequence[LocalServer]) -> Iterator[None]:
    """Start them together; stop them together afterwards."""
    with ThreadPoolExecutor(len(servers)) as pool:
        try:
            list(pool.map(LocalServer.start, servers))
            yield
        finally:
            list(pool.map(LocalServer.stop, servers))
