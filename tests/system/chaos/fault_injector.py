"""Doing each kind of fault to the rig, and undoing it."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random

from tests.system.chaos import topic_injector
from tests.system.chaos.rig import Process, Rig
from tests.system.chaos.schedule import LAST_STEPS, Planned
from tools.sandbox.servers.inspection import until

ZOMBIE = (17.0, 21.0)
"""Seconds a process stands still: longer than the session time-out of 15, so that others take over meanwhile."""
HIT_WITHIN = 60.0
"""Seconds in which a process should come by an armed point; with little to do it may not."""


class Faults:
    """Does what is planned."""

    def __init__(self, rig: Rig, injections: topic_injector.Injections, random: Random) -> None:
        self._rig = rig
        self._injections = injections
        self._random = random
        self._kinds: Mapping[str, Callable[[Planned], Awaitable[bool]]] = {
            "one is killed": self._one_is_killed,
            "all are killed": self._all_are_killed,
            "one is ended": self._one_is_ended,
            "one stands still": self._one_stands_still,
            "the clock is wrong": self._the_clock_is_wrong,
            "one joins and leaves": self._one_joins_and_leaves,
            "dies at a point": self._dies_at_a_point,
            "dies with a backlog": self._dies_with_a_backlog,
            "stands still at a point": self._stands_still_at_a_point,
            "dies at each step with the last of it": self._dies_at_each_step,
            "is killed": self._store_goes,
            "is ended": self._store_goes,
            "both are killed": self._both_are_killed,
            "the disk is full": self._the_disk_is_full,
            "connections are slow": self._connections,
            "connections are silent": self._connections,
            "connections are cut": self._connections,
            "is away": self._receiver_is_away,
            "poison": self._poison,
            "copies": self._copies,
            "out of order": self._out_of_order,
        }

    async def do(self, planned: Planned) -> bool:
        """Do it and undo it; whether it came about."""
        return await self._kinds[planned.kind](planned)

    def _one_of(self, service: str) -> Process:
        return self._random.choice(self._rig.of(service))

    async def _lasts(self, min_seconds: float, most: float) -> None:
        await asyncio.sleep(self._random.uniform(min_seconds, most))

    async def _one_is_killed(self, planned: Planned) -> bool:
        process = self._one_of(planned.target)
        await process.kill()
        await self._lasts(0, 3)
        await self._rig.start(process)
        return True

    async def _all_are_killed(self, planned: Planned) -> bool:
        await self._restart_all(planned.target)
        return True

    async def _restart_all(self, service: str) -> None:
        for process in self._rig.of(service):
            await process.kill()
        await self._lasts(4, 6)
        for process in self._rig.of(service):
            await self._rig.start(process)

    async def _one_is_ended(self, planned: Planned) -> bool:
        process = self._one_of(planned.target)
        await process.end()
        await self._rig.start(process)
        return True

    async def _one_stands_still(self, planned: Planned) -> bool:
        process = self._one_of(planned.target)
        process.send(signal.SIGSTOP)
        await self._lasts(*ZOMBIE)
        process.send(signal.SIGCONT)
        return True

    async def _the_clock_is_wrong(self, planned: Planned) -> bool:
        process = self._one_of(planned.target)
        await process.end()
        await self._rig.start(process, self._random.choice((-3600, 3600)))
        await self._lasts(12, 16)
        await process.end()
        await self._rig.start(process)
        return True

    async def _one_joins_and_leaves(self, planned: Planned) -> bool:
        spare = next(candidate for candidate in self._rig.spare if candidate.service == planned.target)
        await self._rig.start(spare)
        await self._lasts(8, 12)
        await spare.end()
        return True

    async def _dies_at_a_point(self, planned: Planned) -> bool:
        processes = self._rig.of(planned.target)
        for process in processes:
            process.arm(planned.point, signal.SIGKILL)
        return await self._start_those_that_died(processes)

    async def _dies_with_a_backlog(self, planned: Planned) -> bool:
        """While nobody takes what comes, it piles up; whoever begins on it dies with much in hand."""
        processes = self._rig.of(planned.target)
        for process in processes:
            await process.kill()
        await self._lasts(4, 6)
        for process in processes:
            process.arm(planned.point, signal.SIGKILL)
            await self._rig.start(process)
        return await self._start_those_that_died(processes)

    async def hold_up(self, planned: Planned) -> None:
        """Let nobody take what comes last."""
        for process in self._rig.of(planned.target):
            await process.kill()

    async def _dies_at_each_step(self, planned: Planned) -> bool:
        """What was held up is begun anew and anew, and gets one step further each time."""
        processes, all_killed = self._rig.of(planned.target), True
        for point in LAST_STEPS:
            for process in processes:
                process.arm(point, signal.SIGKILL)
                await self._rig.start(process)
            all_killed &= await until(partial(_one_has_ended, processes), HIT_WITHIN)
            for process in processes:
                process.disarm()
                await process.kill()
        for process in processes:
            await self._rig.start(process)
        return all_killed

    async def _start_those_that_died(self, processes: Sequence[Process]) -> bool:
        await until(partial(_one_has_ended, processes), HIT_WITHIN)
        killed = [process for process in processes if not process.disarm()]
        for process in killed:
            await until(partial(_has_ended, process), HIT_WITHIN)
            await self._rig.start(process)
        return bool(killed)

    async def _stands_still_at_a_point(self, planned: Planned) -> bool:
        """With a backlog in hand it stands still until others have taken it over; then it goes on, unaware."""
        processes = self._rig.of(planned.target)
        for process in processes:
            await process.kill()
        await self._lasts(4, 6)
        paused, *others = self._random.sample(processes, len(processes))
        paused.arm(planned.point, signal.SIGSTOP)
        await self._rig.start(paused)

        async def stands_still() -> bool:
            return paused.stands_still

        await until(stands_still, HIT_WITHIN)
        was_paused = not paused.disarm()
        for process in others:
            await self._rig.start(process)
        if was_paused:
            await self._lasts(*ZOMBIE)
        paused.send(signal.SIGCONT)
        return was_paused

    async def _store_goes(self, planned: Planned) -> bool:
        store = self._rig.stores.kafka if planned.target == "kafka" else self._rig.stores.mongodb
        await asyncio.to_thread(store.kill if planned.kind == "is killed" else store.stop)
        await self._lasts(1, 8)
        await asyncio.to_thread(store.start)
        return True

    async def _both_are_killed(self, _fault: Planned) -> bool:
        stores = (self._rig.stores.kafka, self._rig.stores.mongodb)
        await asyncio.gather(*(asyncio.to_thread(store.kill) for store in stores))
        await self._lasts(2, 5)
        await asyncio.gather(*(asyncio.to_thread(store.start) for store in stores))
        return True

    async def _the_disk_is_full(self, _fault: Planned) -> bool:
        """MongoDB ends when it cannot write its journal; it is started again once there is room."""
        if self._rig.stores.disk is None:
            return False
        database = self._rig.stores.mongodb
        await asyncio.to_thread(self._rig.stores.fill_disk)

        async def ended() -> bool:
            return database.has_ended

        await until(ended, HIT_WITHIN)
        self._rig.stores.empty_disk()
        if not database.has_ended:
            return False
        await asyncio.to_thread(database.start)
        return True

    async def _connections(self, planned: Planned) -> bool:
        store, mode = planned.target, planned.kind.rsplit(" ", 1)[1]
        self._rig.stores.order(store, f"slow {self._random.uniform(0.02, 0.2):.3f}" if mode == "slow" else mode)
        await self._lasts(5, 15)
        self._rig.stores.order(store, "open")
        return True

    async def _receiver_is_away(self, planned: Planned) -> bool:
        await asyncio.to_thread(self._rig.receivers[planned.target].take_down)
        await self._lasts(5, 15)
        await asyncio.to_thread(self._rig.receivers[planned.target].take_up)
        return True

    async def _poison(self, _fault: Planned) -> bool:
        await self._injections.poison()
        return True

    async def _copies(self, _fault: Planned) -> bool:
        return bool(await self._injections.copies(self._random))

    async def _out_of_order(self, _fault: Planned) -> bool:
        await self._injections.out_of_order(self._random)
        return True


async def _has_ended(process: Process) -> bool:
    return process.server.has_ended


async def _one_has_ended(processes: Sequence[Process]) -> bool:
    return any(process.server.has_ended for process in processes)
