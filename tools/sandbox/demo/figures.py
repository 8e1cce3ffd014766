"""What can be seen of Attune while it runs, gathered from its public APIs and from Kafka."""

import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from tools.sandbox.network.clinic_systems import Clinics
from tools.sandbox.network.world import World
from tools.sandbox.servers.inspection import metric
from tools.sandbox.servers.kafka_inspector import Topics


@dataclass
class Figures:
    """The last look at everything."""

    relationships: int = 0
    scores: int = 0
    open: Counter[str] = field(default_factory=Counter)
    """Open episodes by severity."""
    repaired: int = 0
    """Relationships whose last episode was repaired."""
    events: float = 0
    """Taken by alliance since it was started."""
    rate: float = 0
    """Events a second."""
    alerts: Counter[str] = field(default_factory=Counter)
    """By status, in all inboxes."""
    lag: dict[str, int] = field(default_factory=dict)
    worst_off: UUID | None = None
    """The clinician with the most open alerts."""

    _seen_at: float = 0

    async def look(self, clinics: Clinics, world: World, kafka_inspector: Topics) -> None:
        """Look at all of it again."""
        await self._alliances(clinics, world)
        await self._inboxes(clinics, world)
        await self._pace(clinics)
        self.lag = await kafka_inspector.lag(await kafka_inspector.ends())

    async def _alliances(self, clinics: Clinics, world: World) -> None:
        views = [
            view
            for clinic in world.clinics
            for view in (await clinics.get("alliance", f"/clinics/{clinic.id}/relationships"))["relationships"]
        ]
        self.relationships = len(views)
        self.scores = sum(view["level"] is not None for view in views)
        self.open = Counter(view["open_episode"]["severity"] for view in views if view["open_episode"])
        self.repaired = sum(view["last_repaired"] is not None for view in views)

    async def _inboxes(self, clinics: Clinics, world: World) -> None:
        inboxes = {
            clinician.id: (await clinics.get("notify", f"/clinicians/{clinician.id}/inbox"))["alerts"]
            for clinician in world.clinicians
        }
        self.alerts = Counter(alert["status"] for alerts in inboxes.values() for alert in alerts)
        open_counts = {clinician: sum(a["status"] == "open" for a in alerts) for clinician, alerts in inboxes.items()}
        self.worst_off = max(open_counts, key=open_counts.__getitem__)

    async def _pace(self, clinics: Clinics) -> None:
        events = metric((await clinics.ask("GET", "alliance", "/metrics")).text, "attune_messages_total")
        now = time.monotonic()
        if self._seen_at:
            self.rate = max(0.0, events - self.events) / (now - self._seen_at)
        self.events, self._seen_at = events, now
