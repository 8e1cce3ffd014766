"""The store of sessions in memory, with the same promises as the one in MongoDB; for tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from services.sessions.domain.clinic import Clinic, evolve
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Decision, Session
from services.sessions.store.protocol import LAPSE_BATCH_SIZE
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.events import ClinicUpdated, Event
from shared.outbox.documents import Versioned
from shared.outbox.memory import InMemoryDocuments


class InMemoryStore:
    """A store in memory, whose time `clock` tells. Nothing is awaited between reading and writing."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.pending_events: list[Event] = []
        """The events of all changes, which nobody publishes."""
        self.sessions = InMemoryDocuments[Session](self.pending_events)
        self.relationships: dict[UUID, Relationship] = {}
        self.clinics: dict[UUID, Clinic] = {}
        self._clock = clock

    async def find_by_link(self, link_hash: str) -> Versioned[Session] | None:
        return next((s for s in self.sessions.stored.values() if link_hash in s.value.link_hashes), None)

    async def count_sessions(self, clinic: ClinicId | None, relationship_id: UUID, limit: int) -> int:
        of_clinic = self.sessions.within(clinic).stored.values()
        return min(sum(session.value.relationship_id == relationship_id for session in of_clinic), limit)

    async def find_relationship(self, clinic: ClinicId | None, relationship_id: UUID) -> Relationship | None:
        found = self.relationships.get(relationship_id)
        return found if found is not None and clinic in (None, found.clinic_id) else None

    async def load_relationships(self, ids: Iterable[UUID]) -> dict[UUID, Relationship]:
        return {i: self.relationships[i] for i in ids if i in self.relationships}

    async def update_relationships(
        self, ids: Iterable[UUID], decide: Callable[[Relationship], Relationship]
    ) -> dict[UUID, Relationship]:
        updated = {i: decide(self.relationships.get(i) or Relationship(relationship_id=i)) for i in ids}
        self.relationships |= updated
        return updated

    async def find_clinic(self, clinic: ClinicId) -> Clinic | None:
        return self.clinics.get(clinic)

    async def save_clinics(self, events: Sequence[ClinicUpdated]) -> None:
        for event in events:
            self.clinics[event.clinic_id] = evolve(self.clinics.get(event.clinic_id), event)

    async def server_time(self) -> datetime:
        return self._clock()

    async def find_overdue(self, now: datetime) -> list[Versioned[Session]]:
        lapsing = [(s.value.next_lapse_at, s) for s in self.sessions.stored.values()]
        overdue = [(at, session) for at, session in lapsing if at is not None and at <= now]
        return [session for _, session in sorted(overdue, key=lambda item: item[0])][:LAPSE_BATCH_SIZE]

    async def save_decisions(
        self, loaded: Sequence[Versioned[Session]], decide: Callable[[Session], Decision]
    ) -> list[Event]:
        decided = [(session, *decide(session.value)) for session in loaded]
        written: list[Event] = []
        for session, after, events in decided:
            if self.sessions.stored.get(after.session_id) == session:
                self.sessions.put(after.session_id, after, events)
                written += events
        return written

    async def erase_sessions(self, ids: Iterable[UUID]) -> None:
        erased = set(ids)
        self.sessions.delete_where(lambda session: session.relationship_id in erased)

    async def count_unknown_clinics(self) -> UnknownClinics:
        relationships = [r for r in self.relationships.values() if r.clinician_id is None and r.erased_at is None]
        return UnknownClinics(len(relationships), len(self._sessions_without_clinic()))

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        ids = sorted({session.relationship_id for session in self._sessions_without_clinic()})
        return [i for i in ids if after is None or i > after][:limit]

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        for session in self._sessions_without_clinic():
            if (clinic := clinics.get(session.relationship_id)) is not None:
                self.sessions.put(session.session_id, session.model_copy(update={"clinic_id": clinic}))

    def _sessions_without_clinic(self) -> list[Session]:
        return [stored.value for stored in self.sessions.stored.values() if stored.value.clinic_id is None]
