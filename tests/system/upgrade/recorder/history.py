"""What happened before the end: weeks of a clinic network, and everything that was finished or given up."""

import asyncio
from datetime import UTC, datetime, timedelta

from deploy.chaos.load import Load
from deploy.local.say import say
from deploy.local.topics import Topics
from deploy.local.watch import still
from deploy.simulation.clinic import Clinics
from deploy.simulation.course import Course
from deploy.simulation.parameters import Parameters
from deploy.simulation.world import World
from deploy.smoke import poison
from deploy.smoke.poison import Poison
from shared.kafka.letterbox import letters_of

from tests.system.upgrade.recorder.scripts import Script, fall
from tests.system.upgrade.recorder.system import WITHIN, NotRecorded, System, wait_until

NETWORK = Parameters(
    clinics=3,
    clinicians=3,
    relationships=40,
    started_weeks_ago=(3, 14),
    sessions_median=8,
    ruptured=0.8,
    onset=3,
    deep=0.7,
    fresh=0.6,
)
EARLY = ("consent", "acknowledged", "resolved", "untried")
"""Scripts whose alert is raised and delivered before anything is left over."""
CONSENTS_WITHDRAWN, AIMS_CHANGED = 3, 3
LATER = timedelta(minutes=1)
"""A form whose time runs out within this is waited for."""


def quiet(world: World) -> list[Course]:
    """Relationships that go on and go well."""
    return [course for course in world.going_on if course.rupture is None]


class History:
    """Tells it to the system."""

    def __init__(self, system: System, clinics: Clinics, topics: Topics, world: World) -> None:
        self._system = system
        self._clinics = clinics
        self._topics = topics
        self._world = world
        self.planted: list[Poison] = []

    async def tell(self, scripts: dict[str, Script]) -> None:
        """All of it, until the system is at rest."""
        load = Load(self._clinics, self._world, self._system.webhooks, 1)
        await load.prepare()
        for name, script in scripts.items():
            await self._employ(name, script)
        await asyncio.gather(*(self._clinics.live_through(script.course) for script in scripts.values()))
        await load.run()
        await self._change_minds()
        await self._plant()
        for name in EARLY:
            await fall(self._clinics, scripts[name], datetime.now(UTC))
        await self.rest()
        await self._have_refused(scripts["refused"])
        await self._have_failed(scripts["failed"])
        await self._settle_letters()
        await self.rest()
        if self._clinics.ledger.refused:
            raise NotRecorded(f"refused: {self._clinics.ledger.refused}")

    async def rest(self) -> None:
        """Wait until nothing is left over but forms that may still be answered."""
        await wait_until("every form whose time is over has lapsed", self._all_lapsed)
        await wait_until("no message is due", self._all_delivered)
        if not await still(self._topics, (self._system.mails, self._system.hooks), WITHIN):
            raise NotRecorded("the system does not come to rest")

    async def _employ(self, name: str, script: Script) -> None:
        webhooks = {"refused": self._system.gone, "retried": self._system.busy}.get(name, self._system.webhooks)
        await self._clinics.employ(script.clinician, self._world.clinics[0].time_zone, webhooks)

    async def _change_minds(self) -> None:
        """Some clients withdraw consent, and some pairs agree on new aims."""
        now = datetime.now(UTC).isoformat()
        for course in [course for course in self._world.going_on if course.rupture][:CONSENTS_WITHDRAWN]:
            await self._clinics.ask("PUT", "intake", f"/relationships/{course.id}/consent", {"given": False, "at": now})
        for course in quiet(self._world)[:AIMS_CHANGED]:
            aims = {"aims": ["loss", "confidence"], "agreed_at": now}
            await self._clinics.ask("PUT", "intake", f"/relationships/{course.id}/aims", aims)

    async def _plant(self) -> None:
        self.planted += poison.poisons(datetime.now(UTC))
        await poison.plant(self._system.kafka.address, self.planted)

    async def _have_refused(self, script: Script) -> None:
        """A webhook that is gone: the message is given up at once. The clinician looks into the inbox."""
        await fall(self._clinics, script, datetime.now(UTC))
        await wait_until("a message is refused", lambda: self._has_outcome("refused"))
        await self._clinics.react(script.clinician.id)

    async def _have_failed(self, script: Script) -> None:
        """A mail server that is away until the message is given up; here after four seconds."""
        self._system.mail.take_down()
        await self._system.end("notify")
        await self._system.start("notify", DELIVERY_GIVE_UP_DAYS="0.00005", DELIVERY_RETRY_SECONDS="1")
        await fall(self._clinics, script, datetime.now(UTC))
        await wait_until("a message has failed", lambda: self._has_outcome("failed"))
        await self._clinics.react(script.clinician.id)
        await self._system.end("notify")
        self._system.mail.take_up()
        await self._system.start("notify")

    async def _settle_letters(self) -> None:
        """One dead letter is sent back, and set aside again; one is closed."""
        first, second, *others = await letters_of(self._system.kafka.address, "alliance")
        await self._system.command("alliance", "dead-letters", "redrive", str(first.origin))
        await self._system.command("alliance", "dead-letters", "close", str(second.origin))
        say(f"  {2 + len(others)} dead letters of alliance")

    async def _has_outcome(self, outcome: str) -> bool:
        found = await self._system.documents("notify", "deliveries").find_one({"outcome": outcome})
        return found is not None

    async def _all_lapsed(self) -> bool:
        due = {"next_lapse_at": {"$lt": datetime.now(UTC) + LATER}}
        return not await self._system.documents("sessions", "sessions").count_documents(due)

    async def _all_delivered(self) -> bool:
        return not await self._system.documents("notify", "deliveries").count_documents({"next_at": {"$exists": True}})
