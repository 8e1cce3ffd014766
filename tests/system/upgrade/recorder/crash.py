"""The end of the recording: everything is killed at a moment at which work is left over everywhere."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from deploy.local.topics import Topics
from deploy.simulation.clinic import Clinics, secret
from deploy.simulation.course import WINDOW, Course
from deploy.simulation.world import World
from deploy.smoke import poison
from deploy.smoke.poison import Poison

from tests.system.upgrade.recorder.history import quiet
from tests.system.upgrade.recorder.scripts import Script, fall
from tests.system.upgrade.recorder.system import System, wait_until

OUTBOXES = (("intake", "clinicians"), ("intake", "relationships"), ("sessions", "sessions"), ("notify", "alerts"))
LAPSES_IN = timedelta(seconds=25)
"""When the time of the last form runs out, seen from its entry: after everything is killed."""
LAST_POISON = ("not UTF-8", "no event", "a list")


class Crash:
    """Kills the system so that work is left over."""

    def __init__(self, system: System, clinics: Clinics, topics: Topics, world: World) -> None:
        self._system = system
        self._clinics = clinics
        self._topics = topics
        self.planted: list[Poison] = []
        self._first, self._second, self._third = quiet(world)[:3]

    async def happen(self, scripts: dict[str, Script]) -> datetime:
        """Leave work over everywhere; the moment at which everything was killed."""
        await self._leave_messages(scripts["leased"], scripts["retried"])
        await self._leave_lag(scripts)
        await asyncio.to_thread(self._system.kafka.kill)
        await self._system.start("notify", without_kafka=True, DELIVERY_PARALLEL="1")
        await self._system.start("sessions", without_kafka=True)
        async with self._system.silent_mail():
            await wait_until("a message is on its way", self._is_held)
            await self._fill_outboxes(scripts)
            await wait_until("a message waits that nobody has tried", self._is_untried)
            await self._system.kill("notify", "sessions", "intake")
        return datetime.now(UTC)

    async def _leave_messages(self, *scripts: Script) -> None:
        """Messages that cannot be delivered now, and are put off."""
        self._system.mail.take_down()
        for script in scripts:
            await fall(self._clinics, script, datetime.now(UTC))
        await wait_until("two messages are put off", self._are_put_off)

    async def _leave_lag(self, scripts: dict[str, Script]) -> None:
        """Records that notify, then alliance, then sessions has not consumed."""
        await self._system.kill("notify")
        await fall(self._clinics, scripts["alliance-event"], datetime.now(UTC))
        await wait_until("alliance has consumed everything", self._alliance_is_through)
        await self._system.kill("alliance")
        await fall(self._clinics, scripts["feedback"], datetime.now(UTC))
        await self._withdraw(scripts["consent"].course.id)
        await self._plan(self._first.id)
        self.planted += [p for p in poison.poisons(datetime.now(UTC)) if p.name in LAST_POISON]
        await poison.plant(self._system.kafka.address, self.planted)
        await wait_until("every outbox is empty", self._outboxes_are_empty)
        await self._system.kill("sessions")
        await self._begin(self._first, "lag")
        await self._withdraw(self._second.id)
        await wait_until("every outbox is empty again", self._outboxes_are_empty)

    async def _fill_outboxes(self, scripts: dict[str, Script]) -> None:
        """What clients were told is kept, while Kafka is away."""
        await self._clinics.react(scripts["acknowledged"].clinician.id)
        await self._resolve(scripts["resolved"])
        await self._reach(scripts["untried"])
        await self._begin(self._second, "outbox")
        end = {"reason": "completed", "at": datetime.now(UTC).isoformat()}
        await self._clinics.ask("POST", "intake", f"/relationships/{self._third.id}/end", end)
        await fall(self._clinics, scripts["outbox"], datetime.now(UTC))
        await self._hold_long_ago(scripts["lapsing"])

    async def _resolve(self, script: Script) -> None:
        inbox = await self._clinics.get("notify", f"/clinicians/{script.clinician.id}/inbox")
        alert = next(alert["alert_id"] for alert in inbox["alerts"] if alert["status"] == "open")
        await self._clinics.ask("POST", "notify", f"/alerts/{alert}/resolution", {"useful": True})

    async def _reach(self, script: Script) -> None:
        """A clinician who had no channel gets one, and so a message about the alert that is open."""
        clinician = script.clinician.id
        hook = {"url": f"{self._system.webhooks}/{clinician}", "secret": secret(clinician)}
        channels: dict[str, Any] = {"email": None, "webhook": hook}
        await self._clinics.ask("PUT", "notify", f"/clinicians/{clinician}/channels", channels)

    async def _withdraw(self, relationship: UUID) -> None:
        word = {"given": False, "at": datetime.now(UTC).isoformat()}
        await self._clinics.ask("PUT", "intake", f"/relationships/{relationship}/consent", word)

    async def _plan(self, relationship: UUID) -> None:
        """An appointment in the next week."""
        starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=6)
        body = {"relationship_id": str(relationship), "starts_at": starts_at.isoformat(), "minutes": 50}
        await self._clinics.ask("PUT", "sessions", f"/sessions/{uuid5(relationship, 'planned')}", body)

    async def _begin(self, like: Course, name: str) -> None:
        """A new client begins with the same clinician."""
        client, relationship = uuid5(like.id, f"client {name}"), uuid5(like.id, f"relationship {name}")
        entry = {"clinic_id": str(like.clinic_id), "case_code": f"NEW-{name.upper()[:10]}"}
        await self._clinics.ask("PUT", "intake", f"/clients/{client}", entry)
        start = {
            "clinic_id": str(like.clinic_id),
            "clinician_id": str(like.clinician_id),
            "client_id": str(client),
            "started_at": datetime.now(UTC).isoformat(),
            "aims": ["coping"],
            "cadence_days": 7,
            "consent": True,
        }
        await self._clinics.ask("PUT", "intake", f"/relationships/{relationship}", start)

    async def _hold_long_ago(self, script: Script) -> None:
        """A session is entered whose forms are due in a moment."""
        ended_at = datetime.now(UTC) - WINDOW + LAPSES_IN
        at = f"/sessions/{uuid5(script.course.id, 'lapses')}"
        starts_at = (ended_at - timedelta(minutes=50)).isoformat()
        appointment = {"relationship_id": str(script.course.id), "starts_at": starts_at, "minutes": 50}
        await self._clinics.ask("PUT", "sessions", at, appointment)
        await self._clinics.ask(
            "POST", "sessions", f"{at}/completion", {"ended_at": ended_at.isoformat(), "minutes": 50}
        )

    async def _are_put_off(self) -> bool:
        waiting = {"next_at": {"$exists": True}, "attempts": {"$gte": 1}, "held": {"$exists": False}}
        return bool(await self._system.documents("notify", "deliveries").count_documents(waiting) == 2)

    async def _is_held(self) -> bool:
        held = {"held": True, "channel": "email"}
        return bool(await self._system.documents("notify", "deliveries").count_documents(held) == 1)

    async def _is_untried(self) -> bool:
        untried = {"attempts": 0, "next_at": {"$exists": True}}
        return bool(await self._system.documents("notify", "deliveries").count_documents(untried) == 1)

    async def _alliance_is_through(self) -> bool:
        empty = await self._outboxes_are_empty()
        return empty and not (await self._topics.lag(await self._topics.ends()))["alliance"]

    async def _outboxes_are_empty(self) -> bool:
        waiting = {"owed.0": {"$exists": True}}
        return not any([await self._system.documents(*of).count_documents(waiting) for of in OUTBOXES])
