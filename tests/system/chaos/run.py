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
        injections = Injections(self.rig.stores.kafka.address, self.seed, world.clinicians)
        async with (
            Clinics(self.rig.urls, self.ledger, PATIENCE) as clinics,
            Topics(self.rig.stores.kafka.address) as topics,
        ):
            recovery = Recovery(self.rig, topics)
            try:
                await self._live(Load(clinics, world, self.rig.webhooks, self.seed), injections, recovery)
                self.checks.none("every request that is right is taken in the end", self.ledger.refused, self._sent())
                rests = await recovery.rest(RESTS_WITHIN)
                self.checks.holds("everything comes to rest: no consumer behind, nothing owed", rests)
            finally:
                await recovery.close()
        evidence = Evidence(
            since=self.since,
            taken=self.ledger.taken,
            injected=injections.told,
            planted=injections.planted,
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

    async def _live(self, load: Load, injections: Injections, recovery: Recovery) -> None:
        await load.prepare()
        if await recovery.within(RECOVERS_WITHIN) is None:
            raise RuntimeError("the system was never ready, before anything was done to it")
        faults = Faults(self.rig, injections, Random(self.seed))
        async with asyncio.TaskGroup() as both:
            telling = both.create_task(load.run())
            await self._hurt(faults, recovery)
            await faults.hold_up(schedule.LAST)
            load.stop()
            await telling
        await self._round([schedule.LAST], faults, recovery)

    async def _hurt(self, faults: Faults, recovery: Recovery) -> None:
        give_up = time.monotonic() + self.seconds
        rounds: Iterator[Sequence[Planned]] = schedule.short(self.seed) if self.short else schedule.long(self.seed)
        for planned in rounds:
            if time.monotonic() > give_up:
                break
            await self._round(planned, faults, recovery)

    async def _round(self, planned: Sequence[Planned], faults: Faults, recovery: Recovery) -> None:
        """Do them together, and wait until the system is well again."""
        done = await asyncio.gather(*(self._one(each, faults) for each in planned))
        took = await recovery.within(RECOVERS_WITHIN)
        self.faults += [replace(fault, recovered=took) for fault in done if fault is not None]
        self.say(f"{self._clock()} {'never well again' if took is None else f'well again after {took:.1f} s'}")
        if took is None:
            self.checks.none("the system recovers by itself", planned)

    async def _one(self, planned: Planned, faults: Faults) -> Fault | None:
        begun = datetime.now(UTC)
        came_about = await faults.do(planned)
        fault = Fault(planned.kind, planned.target, begun, datetime.now(UTC), None, planned.point)
        lasted = f"{(fault.ended - fault.begun).total_seconds():.0f} s" if came_about else "did not come about"
        self.say(f"{self._clock()} {fault} ({lasted})")
        return fault if came_about else None

    def _clock(self) -> str:
        return f"{(datetime.now(UTC) - self.since).total_seconds():7.1f} s"

    def _sent(self) -> str:
        return f"{self.ledger.sent['done']} requests, {self.ledger.sent['tried again']} tries in vain"
