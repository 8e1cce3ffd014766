"""The store of sessions in memory, with the same promises as the one in MongoDB; for tests."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from services.sessions.domain.clinic import Clinic, evolve
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Decision, Session
from services.sessions.store.protocol import LAPSE_BATCH_SIZE
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

    async def count_sessions(self, relationship_id: UUID, limit: int) -> int:
        sessions = [s for s in self.sessions.stored.values() if s.value.relationship_id == relationship_id]
        return min(len(sessions), limit)

    async def find_relationship(self, relationship_id: UUID) -> Relationship | None:
        return self.relationships.get(relationship_id)

    async def load_relationships(self, ids: Iterable[UUID]) -> dict[UUID, Relationship]:
        return {i: self.relationships[i] for i in ids if i in self.relationships}

    async def update_relationships(
        self, ids: Iterable[UUID], decide: Callable[[Relationship], Relationship]
    ) -> dict[UUID, Relationship]:
        updated = {i: decide(self.relationships.get(i) or Relationship(relationship_id=i)) for i in ids}
        self.relationships |= updated
        return updated

    async def find_clinic(self, clinic_id: UUID) -> Clinic | None:
        return self.clinics.get(clinic_id)

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
