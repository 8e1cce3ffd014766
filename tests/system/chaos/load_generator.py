"""The load: what clinics, clients and clinicians do while the system is hurt, drawn from a seed."""

import asyncio
from collections.abc import Iterator
from random import Random

from tools.sandbox.network.clinic_systems import Clinics, NotTaken
from tools.sandbox.network.course import Course
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.world import World

DESKS = 16
"""Relationships told of at once."""
REACT_EVERY = 0.5
"""Seconds between two looks of somebody into an inbox."""


def network(relationships: int) -> Parameters:
    """Many short relationships, and more fresh ruptures than in life, so that there is much to tell clinicians."""
    return Parameters(
        clinics=4,
        clinicians=20,
        relationships=relationships,
        started_weeks_ago=(3, 14),
        sessions_median=8,
        ruptured=0.6,
        onset=3,
        deep=0.8,
        fresh=0.8,
    )


class Load:
    """Tells of one relationship after the other until it is told to stop; what was begun is told to its end."""

    def __init__(self, clinics: Clinics, world: World, webhook_base_url: str, seed: int) -> None:
        self._clinics = clinics
        self._world = world
        self._webhooks = webhook_base_url
        self._random = Random(seed)
        self._over = False
        self.told: list[Course] = []

    def stop(self) -> None:
        """Begin no more relationships."""
        self._over = True

    async def prepare(self) -> None:
        """Open the clinics and employ the clinicians."""
        zones = {clinic.id: clinic.time_zone for clinic in self._world.clinics}
        for clinic in self._world.clinics:
            await self._clinics.open_clinic(clinic)
        async with asyncio.TaskGroup() as task_group:
            for clinician in self._world.clinicians:
                zone = zones[clinician.clinic_id]
                task_group.create_task(self._clinics.employ(clinician, zone, self._webhooks))

    async def run(self) -> None:
        """Work at all desks until there is nothing more to begin."""
        courses = iter(self._world.courses)
        async with asyncio.TaskGroup() as task_group:
            workers = [task_group.create_task(self._desk(courses)) for _ in range(DESKS)]
            task_group.create_task(self._react(workers))

    async def _desk(self, courses: Iterator[Course]) -> None:
        for course in courses:
            if self._over:
                return
            self.told.append(course)
            await self._clinics.live_through(course)

    async def _react(self, workers: list[asyncio.Task[None]]) -> None:
        """Clinicians look into their inboxes, take an alert on, and are done with it."""
        while not all(worker.done() for worker in workers):
            clinician = self._random.choice(self._world.clinicians)
            try:
                await self._clinics.react(clinician.id)
            except NotTaken as error:
                self._clinics.ledger.refused.append(str(error))
            await asyncio.sleep(REACT_EVERY)
