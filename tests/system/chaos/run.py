"""One run: load and faults together, then quiet, then the judge."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from tests.system.chaos import schedule
from tests.system.chaos.checker import judge
from tests.system.chaos.evidence import Evidence, Fault
from tests.system.chaos.fault_injector import Faults
from tests.system.chaos.load_generator import Load, network
from tests.system.chaos.recovery import Recovery
from tests.system.chaos.rig import Rig
from tests.system.chaos.schedule import Planned
from tests.system.chaos.topic_injector import Injections
from tests.system.support.checks import Checks
from tools.sandbox.network.clinic_systems import Clinics
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.world import World
from tools.sandbox.servers.kafka_inspector import Topics
from tools.sandbox.servers.process import Say

PATIENCE = 240.0
"""Seconds for which clients try again: longer than any fault and its recovery."""
RECOVERS_WITHIN = 150.0
RESTS_WITHIN = 240.0


@dataclass
class Run:
    """What is asked for, and what became of it."""

    rig: Rig
    seed: int
    seconds: float
    """For which load and faults go on; in the short form the faults that are planned decide."""
    short: bool
    say: Say
    checks: Checks
    ledger: Ledger = field(default_factory=Ledger)
    faults: list[Fault] = field(default_factory=list)
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def whole(self) -> Evidence:
        """All of it; the evidence that was judged."""
        world = World(self.seed, self.since, network(400 if self.short else 6_000))
        injector = Injections(self.rig.stores.kafka.address, self.seed, world.clinicians)
        async with (
            Clinics(self.rig.urls, self.ledger, PATIENCE) as clinic_systems,
            Topics(self.rig.stores.kafka.address) as kafka_inspector,
        ):
            recovery = Recovery(self.rig, kafka_inspector)
            try:
                await self._live(Load(clinic_systems, world, self.rig.webhooks, self.seed), injector, recovery)
                self.checks.none("every request that is right is taken in the end", self.ledger.refused, self._sent())
                is_idle = await recovery.rest(RESTS_WITHIN)
                self.checks.holds("everything comes to rest: no consumer behind, nothing owed", is_idle)
            finally:
                await recovery.close()
        evidence = Evidence(
            since=self.since,
            taken=self.ledger.taken,
            injected=injector.told,
            planted=injector.planted,
            faults=self.faults,
            clinicians={clinician.id: clinician for clinician in world.clinicians},
            mails=self.rig.mails,
            hooks=self.rig.hooks,
            kafka=self.rig.stores.kafka.address,
            mongodb=self.rig.stores.mongodb.address,
            urls={name: urls[0] for name, urls in self.rig.urls.items()},
        )
        await judge(evidence, self.checks)
        return evidence

    async def _live(self, load: Load, injector: Injections, recovery: Recovery) -> None:
        await load.prepare()
        if await recovery.within(RECOVERS_WITHIN) is None:
            raise RuntimeError("the system was never ready, before anything was done to it")
        fault_injector = Faults(self.rig, injector, Random(self.seed))
        async with asyncio.TaskGroup() as task_group:
            load_task = task_group.create_task(load.run())
            await self._hurt(fault_injector, recovery)
            await fault_injector.hold_up(schedule.LAST)
            load.stop()
            await load_task
        await self._round([schedule.LAST], fault_injector, recovery)

    async def _hurt(self, faults: Faults, recovery: Recovery) -> None:
        deadline = time.monotonic() + self.seconds
        rounds: Iterator[Sequence[Planned]] = schedule.short(self.seed) if self.short else schedule.long(self.seed)
        for fault_round in rounds:
            if time.monotonic() > deadline:
                break
            await self._round(fault_round, faults, recovery)

    async def _round(self, planned: Sequence[Planned], faults: Faults, recovery: Recovery) -> None:
        """Do them together, and wait until the system is well again."""
        injected_faults = await asyncio.gather(*(self._one(planned_fault, faults) for planned_fault in planned))
        recovery_seconds = await recovery.within(RECOVERS_WITHIN)
        self.faults += [replace(fault, recovered=recovery_seconds) for fault in injected_faults if fault is not None]
        self.say(
            f"{self._clock()} {'never well again' if recovery_seconds is None else f'well again after {recovery_seconds:.1f} s'}"
        )
        if recovery_seconds is None:
            self.checks.none("the system recovers by itself", planned)

    async def _one(self, planned: Planned, faults: Faults) -> Fault | None:
        started_at = datetime.now(UTC)
        has_occurred = await faults.do(planned)
        fault = Fault(planned.kind, planned.target, started_at, datetime.now(UTC), None, planned.point)
        duration = f"{(fault.ended - fault.begun).total_seconds():.0f} s" if has_occurred else "did not come about"
        self.say(f"{self._clock()} {fault} ({duration})")
        return fault if has_occurred else None

    def _clock(self) -> str:
        return f"{(datetime.now(UTC) - self.since).total_seconds():7.1f} s"

    def _sent(self) -> str:
        return f"{self.ledger.sent['done']} requests, {self.ledger.sent['tried again']} tries in vain"
