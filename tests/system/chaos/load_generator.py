"""The load: requests of clinics, clients and clinicians while faults are injected, drawn from a seed."""

import asyncio
from collections.abc import Iterator
from random import Random

from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Course
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.retrying_client import RequestFailed
from tools.sandbox.network.world import World

MAX_CONCURRENT_RELATIONSHIPS = 16
"""Relationships that are submitted at the same time."""
REACTION_INTERVAL_SECONDS = 0.5
"""Time between two inbox visits, over all clinicians."""


def load_parameters(relationships: int) -> Parameters:
    """Many short relationships and more recent ruptures than in reality, so that many messages are sent."""
    return Parameters(
        clinics=4,
        clinicians_per_clinic=20,
        relationships=relationships,
        started_weeks_ago=(3, 14),
        median_sessions=8,
        rupture_probability=0.6,
        min_sessions_before_rupture=3,
        deep_rupture_share=0.8,
        recent_rupture_share=0.8,
    )


class LoadGenerator:
    """Submits one relationship after the other until it is stopped; started relationships are submitted completely."""

    def __init__(self, clinic_systems: ClinicSystems, world: World, webhook_base_url: str, seed: int) -> None:
        self._clinic_systems = clinic_systems
        self._world = world
        self._webhook_base_url = webhook_base_url
        self._random = Random(seed)
        self._is_stopped = False
        self.started_courses: list[Course] = []

    def stop(self) -> None:
        """Start no more relationships."""
        self._is_stopped = True

    async def prepare(self) -> None:
        """Register the clinics and the clinicians."""
        zones = {clinic.id: clinic.time_zone for clinic in self._world.clinics}
        for clinic in self._world.clinics:
            await self._clinic_systems.register_clinic(clinic)
        async with asyncio.TaskGroup() as task_group:
            for clinician in self._world.clinicians:
                zone = zones[clinician.clinic_id]
                task_group.create_task(self._clinic_systems.register_clinician(clinician, zone, self._webhook_base_url))

    async def run(self) -> None:
        """Run all workers until no relationship is left to start."""
        courses = iter(self._world.courses)
        async with asyncio.TaskGroup() as task_group:
            workers = [task_group.create_task(self._run_worker(courses)) for _ in range(MAX_CONCURRENT_RELATIONSHIPS)]
            task_group.create_task(self._handle_alerts(workers))

    async def _run_worker(self, courses: Iterator[Course]) -> None:
        for course in courses:
            if self._is_stopped:
                return
            self.started_courses.append(course)
            await self._clinic_systems.submit_course(course)

    async def _handle_alerts(self, workers: list[asyncio.Task[None]]) -> None:
        """Let clinicians acknowledge and resolve the alerts in their inboxes."""
        while not all(worker.done() for worker in workers):
            clinician = self._random.choice(self._world.clinicians)
            try:
                await self._clinic_systems.handle_next_alert(clinician.id)
            except RequestFailed as error:
                self._clinic_systems.ledger.failed_requests.append(str(error))
            await asyncio.sleep(REACTION_INTERVAL_SECONDS)
