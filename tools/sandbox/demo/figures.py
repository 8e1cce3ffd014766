"""The figures of a running Attune, read from its public APIs, its metrics and Kafka."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

import httpx2

from tools.sandbox.network.caseloads import read_caseload
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.retrying_client import RequestFailed
from tools.sandbox.network.world import World
from tools.sandbox.servers.inspection import fetch_metric
from tools.sandbox.servers.kafka_inspector import KafkaInspector


@dataclass
class Figures:
    """The figures of the last refresh."""

    relationships: int = 0
    scored_relationships: int = 0
    open_episodes: Counter[str] = field(default_factory=Counter)
    """By severity."""
    repaired_relationships: int = 0
    """Relationships with at least one repaired episode."""
    consumed_events: float = 0
    """Events that alliance has consumed since it was started."""
    events_per_second: float = 0
    alerts_by_status: Counter[str] = field(default_factory=Counter)
    """Over all inboxes."""
    lag: dict[str, int] = field(default_factory=dict)
    busiest_clinician: UUID | None = None
    """The clinician with the most open alerts; stays the same as long as there are any."""
    open_form_url: str = ""
    """The link to a form that a client can still answer; stays the same as long as it is open."""

    _refreshed_at: float = 0

    async def refresh(
        self,
        clinic_systems: ClinicSystems,
        world: World,
        kafka_inspector: KafkaInspector,
        unanswered_sessions: Mapping[UUID, UUID],
        alliance_ops_url: str,
    ) -> None:
        """Read all figures again."""
        await self._refresh_alliances(clinic_systems, world)
        await self._refresh_inboxes(clinic_systems, world)
        await self._refresh_throughput(alliance_ops_url)
        await self.refresh_form(clinic_systems, unanswered_sessions)
        self.lag = await kafka_inspector.lag(await kafka_inspector.end_offsets())

    async def _refresh_alliances(self, clinic_systems: ClinicSystems, world: World) -> None:
        views = [view for clinic in world.clinics for view in await read_caseload(clinic_systems, clinic.id)]
        self.relationships = len(views)
        self.scored_relationships = sum(view["level"] is not None for view in views)
        self.open_episodes = Counter(view["open_episode"]["severity"] for view in views if view["open_episode"])
        self.repaired_relationships = sum(view["last_repaired"] is not None for view in views)

    async def _refresh_inboxes(self, clinic_systems: ClinicSystems, world: World) -> None:
        inboxes = {clinician.id: await clinic_systems.read_inbox(clinician.id) for clinician in world.clinicians}
        self.alerts_by_status = Counter(alert["status"] for alerts in inboxes.values() for alert in alerts)
        open_counts = {clinician: sum(a["status"] == "open" for a in alerts) for clinician, alerts in inboxes.items()}
        if self.busiest_clinician is None or not open_counts[self.busiest_clinician]:
            self.busiest_clinician = max(open_counts, key=open_counts.__getitem__)

    async def refresh_form(self, clinic_systems: ClinicSystems, unanswered_sessions: Mapping[UUID, UUID]) -> None:
        """Get a link to another session's form when the one that is shown is used up or expired.

        `unanswered_sessions` have their clinics.
        """
        if self.open_form_url and await _opens_form(clinic_systems, self.open_form_url):
            return
        self.open_form_url = ""
        for session, clinic_id in unanswered_sessions.items():
            try:
                self.open_form_url = await clinic_systems.client_form_url(clinic_id, session)
            except RequestFailed:
                continue  # too old, or a person has answered it
            return

    async def _refresh_throughput(self, alliance_ops_url: str) -> None:
        events = await fetch_metric(alliance_ops_url, "attune_messages_total")
        now = time.monotonic()
        if self._refreshed_at:
            self.events_per_second = max(0.0, events - self.consumed_events) / (now - self._refreshed_at)
        self.consumed_events, self._refreshed_at = events, now


async def _opens_form(clinic_systems: ClinicSystems, url: str) -> bool:
    try:
        return (await clinic_systems.request_once("GET", "sessions", urlsplit(url).path)).status_code == 200
    except httpx2.TransportError:
        return False
