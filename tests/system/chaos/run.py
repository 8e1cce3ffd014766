"""One run: load and faults together, then wait until the system is idle, then check it."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from tests.system.chaos import schedule
from tests.system.chaos.checker import check_system
from tests.system.chaos.evidence import Evidence, Fault
from tests.system.chaos.fault_injector import FaultInjector
from tests.system.chaos.load_generator import LoadGenerator, load_parameters
from tests.system.chaos.recovery import RecoveryMonitor
from tests.system.chaos.rig import Rig
from tests.system.chaos.schedule import PlannedFault
from tests.system.chaos.topic_injector import TopicInjector
from tests.system.support.checks import Checks
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.world import World
from tools.sandbox.servers.kafka_inspector import KafkaInspector
from tools.sandbox.servers.process import Report

REQUEST_TIMEOUT_SECONDS = 240.0
"""How long clients retry: longer than any fault and its recovery."""
RECOVERY_TIMEOUT_SECONDS = 150.0
IDLE_TIMEOUT_SECONDS = 240.0


@dataclass
class ChaosRun:
    """The parameters of a run and its results."""

    rig: Rig
    seed: int
    load_seconds: float
    """How long load and faults last; a short run ends with its planned faults."""
    is_short: bool
    report: Report
    checks: Checks
    ledger: Ledger = field(default_factory=Ledger)
    faults: list[Fault] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def execute(self) -> Evidence:
        """Run it completely and return the evidence that was checked."""
        world = World(self.seed, self.started_at, load_parameters(400 if self.is_short else 6_000))
        injector = TopicInjector(self.rig.stores.kafka.address, self.seed, world.clinicians)
        async with (
            ClinicSystems(self.rig.urls, self.rig.credentials, self.ledger, REQUEST_TIMEOUT_SECONDS) as clinic_systems,
            KafkaInspector(self.rig.stores.kafka.address) as kafka_inspector,
        ):
            recovery = RecoveryMonitor(self.rig, kafka_inspector)
            try:
                await self._run_load_and_faults(
                    LoadGenerator(clinic_systems, world, self.rig.webhook_base_url, self.seed), injector, recovery
                )
                self.checks.expect_none(
                    "every valid request is accepted eventually",
                    self.ledger.failed_requests,
                    self._request_counts(),
                )
                is_idle = await recovery.wait_until_idle(IDLE_TIMEOUT_SECONDS)
                self.checks.expect("the system becomes idle: no lag, empty outboxes", is_idle)
            finally:
                await recovery.close()
        evidence = Evidence(
            started_at=self.started_at,
            requests=self.ledger.requests,
            injected_events=injector.injected_events,
            poison=injector.poison_messages,
            faults=self.faults,
            clinicians={clinician.id: clinician for clinician in world.clinicians},
            received_emails=self.rig.received_emails,
            received_webhooks=self.rig.received_webhooks,
            bootstrap_servers=self.rig.stores.kafka.address,
            mongodb_uri=self.rig.stores.mongodb.address,
            credentials=self.rig.credentials,
            urls={name: urls[0] for name, urls in self.rig.urls.items()},
            ops_urls={name: self.rig.processes_of(name)[0].ops_url for name in self.rig.urls},
        )
        await check_system(evidence, self.checks)
        return evidence

    async def _run_load_and_faults(
        self, load: LoadGenerator, injector: TopicInjector, recovery: RecoveryMonitor
    ) -> None:
        await load.prepare()
        if await recovery.wait_until_recovered(RECOVERY_TIMEOUT_SECONDS) is None:
            raise RuntimeError("the system did not become ready before the first fault")
        fault_injector = FaultInjector(self.rig, injector, Random(self.seed))
        async with asyncio.TaskGroup() as task_group:
            load_task = task_group.create_task(load.run())
            await self._run_faults(fault_injector, recovery)
            await fault_injector.kill_all(schedule.FINAL_FAULT.target)  # so that the last events stay unconsumed
            load.stop()
            await load_task
        await self._run_round([schedule.FINAL_FAULT], fault_injector, recovery)

    async def _run_faults(self, fault_injector: FaultInjector, recovery: RecoveryMonitor) -> None:
        deadline = time.monotonic() + self.load_seconds
        rounds: Iterator[Sequence[PlannedFault]] = (
            schedule.short_schedule(self.seed) if self.is_short else schedule.long_schedule(self.seed)
        )
        for fault_round in rounds:
            if time.monotonic() > deadline:
                break
            await self._run_round(fault_round, fault_injector, recovery)

    async def _run_round(
        self, fault_round: Sequence[PlannedFault], fault_injector: FaultInjector, recovery: RecoveryMonitor
    ) -> None:
        """Inject the faults together, and wait until the system has recovered."""
        injected_faults = await asyncio.gather(
            *(self._inject(planned_fault, fault_injector) for planned_fault in fault_round)
        )
        recovery_seconds = await recovery.wait_until_recovered(RECOVERY_TIMEOUT_SECONDS)
        self.faults += [
            replace(fault, recovery_seconds=recovery_seconds) for fault in injected_faults if fault is not None
        ]
        outcome = "not recovered" if recovery_seconds is None else f"recovered after {recovery_seconds:.1f} s"
        self.report(f"{self._elapsed()} {outcome}")
        if recovery_seconds is None:
            self.checks.expect_none("the system recovers by itself", fault_round)

    async def _inject(self, planned_fault: PlannedFault, fault_injector: FaultInjector) -> Fault | None:
        started_at = datetime.now(UTC)
        has_occurred = await fault_injector.inject(planned_fault)
        fault = Fault(
            planned_fault.kind, planned_fault.target, started_at, datetime.now(UTC), None, planned_fault.fault_point
        )
        duration = f"{(fault.ended_at - fault.started_at).total_seconds():.0f} s" if has_occurred else "did not occur"
        self.report(f"{self._elapsed()} {fault} ({duration})")
        return fault if has_occurred else None

    def _elapsed(self) -> str:
        return f"{(datetime.now(UTC) - self.started_at).total_seconds():7.1f} s"

    def _request_counts(self) -> str:
        request_counts = self.ledger.request_counts
        return f"{request_counts['accepted']} requests, {request_counts['retried']} failed attempts"
