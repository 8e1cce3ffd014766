"""Injects each kind of fault into the rig, and removes it again."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from random import Random

from tests.system.chaos.rig import Process, Rig
from tests.system.chaos.schedule import FINAL_FAULT_POINTS, FaultKind, PlannedFault
from tests.system.chaos.topic_injector import TopicInjector
from tools.sandbox.servers.inspection import wait_until
from tools.sandbox.servers.process import LocalServer

PAUSE_SECONDS = (2.0, 6.0)
"""How much longer than the session timeout a process is paused, so that other members take over."""
FAULT_POINT_TIMEOUT_SECONDS = 60.0
"""How long to wait for a process to reach an armed fault point; with little load it may not."""


class FaultInjector:
    """Does to the processes, the stores and the topics of the rig what a fault says, and puts them right again."""

    def __init__(self, rig: Rig, topic_injector: TopicInjector, random: Random) -> None:
        self._rig = rig
        self._topic_injector = topic_injector
        self._random = random
        self._actions: Mapping[FaultKind, Callable[[PlannedFault], Awaitable[bool]]] = {
            "one is killed": self._kill_and_restart_one,
            "all are killed": self._kill_and_restart_all,
            "one is stopped": self._stop_and_restart_one,
            "one is paused": self._pause_and_resume_one,
            "the clock is wrong": self._restart_with_wrong_clock,
            "one joins and leaves": self._join_and_leave,
            "is killed at a point": self._kill_at_fault_point,
            "is killed with a backlog": self._kill_with_backlog,
            "is paused at a point": self._pause_at_fault_point,
            "is killed at each step of the last batch": self._kill_at_each_step,
            "is killed": self._kill_and_restart_store,
            "is stopped": self._stop_and_restart_store,
            "both are killed": self._kill_and_restart_both_stores,
            "the disk is full": self._fill_disk,
            "connections are slow": self._slow_connections,
            "connections are silent": partial(self._disturb_connections, "silent"),
            "connections are cut": partial(self._disturb_connections, "cut"),
            "is unavailable": self._stop_and_restart_receiver,
            "poison": self._publish_poison,
            "duplicates": self._publish_duplicates,
            "out of order": self._publish_out_of_order,
        }

    async def inject(self, fault: PlannedFault) -> bool:
        """Inject the fault and remove it; return whether it occurred."""
        return await self._actions[fault.kind](fault)

    async def kill_all(self, service: str) -> None:
        """Kill all processes of the service, and leave them dead."""
        for process in self._rig.processes_of(service):
            await process.kill()

    def _random_process(self, service: str) -> Process:
        return self._random.choice(self._rig.processes_of(service))

    def _store(self, name: str) -> LocalServer:
        return self._rig.stores.kafka if name == "kafka" else self._rig.stores.mongodb

    async def _wait_until_others_take_over(self) -> None:
        await asyncio.sleep(self._rig.session_timeout_ms / 1000)
        await self._wait_random(*PAUSE_SECONDS)

    async def _wait_random(self, min_seconds: float, max_seconds: float) -> None:
        await asyncio.sleep(self._random.uniform(min_seconds, max_seconds))

    async def _kill_and_restart_one(self, fault: PlannedFault) -> bool:
        process = self._random_process(fault.target)
        await process.kill()
        await self._wait_random(0, 3)
        await self._rig.start(process)
        return True

    async def _kill_and_restart_all(self, fault: PlannedFault) -> bool:
        await self.kill_all(fault.target)
        await self._wait_random(4, 6)
        for process in self._rig.processes_of(fault.target):
            await self._rig.start(process)
        return True

    async def _stop_and_restart_one(self, fault: PlannedFault) -> bool:
        process = self._random_process(fault.target)
        await process.stop()
        await self._rig.start(process)
        return True

    async def _pause_and_resume_one(self, fault: PlannedFault) -> bool:
        process = self._random_process(fault.target)
        process.send_signal(signal.SIGSTOP)
        await self._wait_until_others_take_over()
        process.send_signal(signal.SIGCONT)
        return True

    async def _restart_with_wrong_clock(self, fault: PlannedFault) -> bool:
        process = self._random_process(fault.target)
        await process.stop()
        await self._rig.start(process, self._random.choice((-3600, 3600)))
        await self._wait_random(12, 16)
        await process.stop()
        await self._rig.start(process)
        return True

    async def _join_and_leave(self, fault: PlannedFault) -> bool:
        spare = next(candidate for candidate in self._rig.spare_processes if candidate.service == fault.target)
        await self._rig.start(spare)
        await self._wait_random(8, 12)
        await spare.stop()
        return True

    async def _kill_at_fault_point(self, fault: PlannedFault) -> bool:
        processes = self._rig.processes_of(fault.target)
        for process in processes:
            process.arm(fault.fault_point, signal.SIGKILL)
        return await self._restart_killed(processes)

    async def _kill_with_backlog(self, fault: PlannedFault) -> bool:
        """Kill all processes so that lag builds up; each is killed again while it handles the large batch."""
        processes = self._rig.processes_of(fault.target)
        await self.kill_all(fault.target)
        await self._wait_random(4, 6)
        for process in processes:
            process.arm(fault.fault_point, signal.SIGKILL)
            await self._rig.start(process)
        return await self._restart_killed(processes)

    async def _kill_at_each_step(self, fault: PlannedFault) -> bool:
        """Handle the last batch again and again, and kill each attempt one step later than the one before."""
        processes, all_killed = self._rig.processes_of(fault.target), True
        for point in FINAL_FAULT_POINTS:
            for process in processes:
                process.arm(point, signal.SIGKILL)
                await self._rig.start(process)
            all_killed &= await wait_until(partial(_any_has_exited, processes), FAULT_POINT_TIMEOUT_SECONDS)
            for process in processes:
                process.disarm()
                await process.kill()
        for process in processes:
            await self._rig.start(process)
        return all_killed

    async def _restart_killed(self, processes: Sequence[Process]) -> bool:
        """Wait for a process to be killed at its fault point; start all that were. Return whether there was one."""
        await wait_until(partial(_any_has_exited, processes), FAULT_POINT_TIMEOUT_SECONDS)
        killed = [process for process in processes if process.disarm() == "fired"]
        for process in killed:
            await wait_until(partial(_has_exited, process), FAULT_POINT_TIMEOUT_SECONDS)
            await self._rig.start(process)
        return bool(killed)

    async def _pause_at_fault_point(self, fault: PlannedFault) -> bool:
        """Pause a process that has a backlog until other members have taken it over, then let it continue."""
        processes = self._rig.processes_of(fault.target)
        await self.kill_all(fault.target)
        await self._wait_random(4, 6)
        paused, *others = self._random.sample(processes, len(processes))
        paused.arm(fault.fault_point, signal.SIGSTOP)
        await self._rig.start(paused)

        async def is_paused() -> bool:
            return paused.is_paused

        await wait_until(is_paused, FAULT_POINT_TIMEOUT_SECONDS)
        was_paused = paused.disarm() == "fired"
        for process in others:
            await self._rig.start(process)
        if was_paused:
            await self._wait_until_others_take_over()
        paused.send_signal(signal.SIGCONT)
        return was_paused

    async def _kill_and_restart_store(self, fault: PlannedFault) -> bool:
        store = self._store(fault.target)
        await asyncio.to_thread(store.kill)
        await self._wait_random(1, 8)
        await asyncio.to_thread(store.start)
        return True

    async def _stop_and_restart_store(self, fault: PlannedFault) -> bool:
        store = self._store(fault.target)
        await asyncio.to_thread(store.stop)
        await self._wait_random(1, 8)
        await asyncio.to_thread(store.start)
        return True

    async def _kill_and_restart_both_stores(self, _fault: PlannedFault) -> bool:
        stores = (self._rig.stores.kafka, self._rig.stores.mongodb)
        await asyncio.gather(*(asyncio.to_thread(store.kill) for store in stores))
        await self._wait_random(2, 5)
        await asyncio.gather(*(asyncio.to_thread(store.start) for store in stores))
        return True

    async def _fill_disk(self, _fault: PlannedFault) -> bool:
        """MongoDB exits when it cannot write its journal; it is started again once there is space."""
        if self._rig.stores.disk is None:
            return False
        database = self._rig.stores.mongodb
        await asyncio.to_thread(self._rig.stores.fill_disk)

        async def has_exited() -> bool:
            return database.has_exited

        await wait_until(has_exited, FAULT_POINT_TIMEOUT_SECONDS)
        self._rig.stores.empty_disk()
        if not database.has_exited:
            return False
        await asyncio.to_thread(database.start)
        return True

    async def _slow_connections(self, fault: PlannedFault) -> bool:
        return await self._disturb_connections(f"slow {self._random.uniform(0.02, 0.2):.3f}", fault)

    async def _disturb_connections(self, proxy_mode: str, fault: PlannedFault) -> bool:
        self._rig.stores.set_proxy_mode(fault.target, proxy_mode)
        await self._wait_random(5, 15)
        self._rig.stores.set_proxy_mode(fault.target, "open")
        return True

    async def _stop_and_restart_receiver(self, fault: PlannedFault) -> bool:
        await asyncio.to_thread(self._rig.receivers[fault.target].stop)
        await self._wait_random(5, 15)
        await asyncio.to_thread(self._rig.receivers[fault.target].start)
        return True

    async def _publish_poison(self, _fault: PlannedFault) -> bool:
        await self._topic_injector.publish_poison()
        return True

    async def _publish_duplicates(self, _fault: PlannedFault) -> bool:
        return bool(await self._topic_injector.publish_duplicates(self._random))

    async def _publish_out_of_order(self, _fault: PlannedFault) -> bool:
        await self._topic_injector.publish_out_of_order(self._random)
        return True


async def _has_exited(process: Process) -> bool:
    return process.server.has_exited


async def _any_has_exited(processes: Sequence[Process]) -> bool:
    return any(process.server.has_exited for process in processes)
