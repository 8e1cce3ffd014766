"""The store of alliance in memory, with the same promises as the one in MongoDB; for tests."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from services.alliance.domain.state.history import HistoryEvent, choose_content
from services.alliance.domain.tuning.dispositions import Disposition, Reopening
from services.alliance.store.protocol import VersionedState, caseload_level, concern_rank
from shared.access.clinic_id import ClinicId


class InMemoryStore:
    """A store in memory."""

    def __init__(self) -> None:
        self.events: dict[UUID, HistoryEvent] = {}
        self.states: dict[UUID, VersionedState] = {}
        self.recorded_dispositions: dict[UUID, Disposition] = {}
        self.recorded_reopenings: dict[UUID, Reopening] = {}

    async def append(self, events: Sequence[HistoryEvent]) -> set[UUID]:
        known = set[UUID]()
        for event in events:
            if event.id in self.events:
                known |= {event.relationship_id, self.events[event.id].relationship_id}
            self.events[event.id] = choose_content(self.events.get(event.id, event), event)
        return known

    async def load(self, relationships: Collection[UUID]) -> Mapping[UUID, VersionedState]:
        return {
            relationship: self.states.get(relationship) or VersionedState(relationship)
            for relationship in relationships
        }

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[HistoryEvent]]:
        return {
            relationship: [event for event in self.events.values() if event.relationship_id == relationship]
            for relationship in relationships
        }

    async def save(self, states: Sequence[VersionedState]) -> set[UUID]:
        conflicts = {state.relationship for state in states if self._version(state.relationship) != state.version - 1}
        self.states.update({state.relationship: state for state in states if state.relationship not in conflicts})
        return conflicts

    async def erase(self, erasures: Mapping[UUID, UUID]) -> None:
        final_event_ids = erasures.values()
        self.events = {
            event_id: event
            for event_id, event in self.events.items()
            if event.relationship_id not in erasures or event_id in final_event_ids
        }
        self.recorded_dispositions = {
            event_id: disposition
            for event_id, disposition in self.recorded_dispositions.items()
            if disposition.relationship not in erasures
        }
        self.recorded_reopenings = {
            event_id: reopening
            for event_id, reopening in self.recorded_reopenings.items()
            if reopening.relationship not in erasures
        }

    async def find(self, clinic: ClinicId | None, relationship: UUID) -> VersionedState | None:
        return self._states_of(clinic).get(relationship)

    async def find_history(self, clinic: ClinicId | None, relationship: UUID) -> list[HistoryEvent]:
        if clinic is not None and relationship not in self._states_of(clinic):
            return []
        return (await self.history([relationship]))[relationship]

    async def caseload(
        self, clinic: ClinicId | None, owner_type: str, owner_id: UUID, limit: int, skip: int = 0
    ) -> list[VersionedState]:
        attribute = {"clinic": "clinic_id", "clinician": "clinician_id"}[owner_type]
        owned = [s for s in self._states_of(clinic).values() if getattr(s.alliance, attribute) == owner_id]
        by_concern = sorted(
            owned, key=lambda s: (-concern_rank(s.alliance), caseload_level(s.alliance), s.relationship)
        )
        return by_concern[skip : skip + limit]

    async def record_dispositions(self, dispositions: Sequence[Disposition]) -> list[Disposition]:
        new = list(
            {
                candidate.id: candidate for candidate in dispositions if candidate.id not in self.recorded_dispositions
            }.values()
        )
        self.recorded_dispositions.update({disposition.id: disposition for disposition in new})
        return new

    async def dispositions(self, relationships: Collection[UUID]) -> list[Disposition]:
        return [
            disposition
            for disposition in self.recorded_dispositions.values()
            if disposition.relationship in relationships
        ]

    async def record_reopenings(self, reopenings: Sequence[Reopening]) -> list[Reopening]:
        new = {r.id: r for r in reopenings if r.id not in self.recorded_reopenings}
        self.recorded_reopenings |= new
        return list(new.values())

    async def reopenings(self, relationships: Collection[UUID]) -> list[Reopening]:
        return [r for r in self.recorded_reopenings.values() if r.relationship in relationships]

    async def count(self, clinic: ClinicId | None) -> int:
        return len(self._states_of(clinic))

    async def page(self, clinic: ClinicId | None, after: UUID | None, limit: int) -> list[UUID]:
        return [r for r in sorted(self._states_of(clinic)) if after is None or r > after][:limit]

    def _states_of(self, clinic: ClinicId | None) -> dict[UUID, VersionedState]:
        return {r: state for r, state in self.states.items() if clinic is None or state.alliance.clinic_id == clinic}

    def _version(self, relationship: UUID) -> int:
        state = self.states.get(relationship)
        return state.version if state else 0
