"""The store of the sessions service in MongoDB: sessions, and what is known of their relationships and clinics.

Correctness relies only on the uniqueness of `_id`. Every index is there for speed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from services.sessions.domain.clinic import Clinic, evolve
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Decision, Session
from services.sessions.store.protocol import LAPSE_BATCH_SIZE
from services.sessions.store.stored_names import STORED_NAMES
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.clinics.mongo import MongoClinics, within
from shared.events import ClinicUpdated, Event
from shared.mongo.client import Document, GuardedWrite, Mongo, server_time, translate_errors, write_guarded
from shared.outbox.documents import Documents, Versioned
from shared.outbox.relay import Outbox, outbox_entries

SESSIONS = "sessions"
RELATIONSHIPS = "relationships"
CLINICS = "clinics"
UNKNOWN = {"clinician_id": None}
"""Of a relationship whose start has not been folded by a version that stores clinic and clinician."""


class MongoStore:
    """A store in MongoDB: one collection for each kind of document."""

    def __init__(self, mongo: Mongo, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self.sessions = Documents(mongo[SESSIONS], Session, outbox, clock, STORED_NAMES)
        self._clinics_of_sessions = MongoClinics(self.sessions.collection, "relationship_id")
        self._relationship_collection = mongo[RELATIONSHIPS]
        self._clinic_collection = mongo[CLINICS]
        self._outbox = outbox
        self._clock = clock

    async def create_indexes(self) -> None:
        """Create the indexes. Idempotent. Raises StoreUnavailable."""
        with translate_errors():
            await self.sessions.collection.create_index("link_hashes", name="links")
            await self.sessions.collection.create_index("next_lapse_at", name="due")
            await self.sessions.collection.create_index("relationship_id", name="relationship")
            await self._relationship_collection.create_index(
                "clinician_id", name="unknown_clinic", partialFilterExpression=UNKNOWN
            )
        await self._clinics_of_sessions.create_index()

    async def find_by_link(self, link_hash: str) -> Versioned[Session] | None:
        return await self.sessions.find({"link_hashes": link_hash})

    async def count_sessions(self, clinic: ClinicId | None, relationship_id: UUID, limit: int) -> int:
        query = within(clinic, {"relationship_id": relationship_id})
        with translate_errors():
            return await self.sessions.collection.count_documents(query, limit=limit)

    async def find_relationship(self, clinic: ClinicId | None, relationship_id: UUID) -> Relationship | None:
        with translate_errors():
            found = await self._relationship_collection.find_one(within(clinic, {"_id": relationship_id}))
        return None if found is None else Relationship.model_validate(found)

    async def load_relationships(self, ids: Iterable[UUID]) -> dict[UUID, Relationship]:
        return {document["_id"]: Relationship.model_validate(document) for document in await self._load_documents(ids)}

    async def update_relationships(
        self, ids: Iterable[UUID], decide: Callable[[Relationship], Relationship]
    ) -> dict[UUID, Relationship]:
        """In two round trips, and two more after a concurrent write."""
        updated: dict[UUID, Relationship] = {}
        pending = set(ids)
        while pending:
            found = {document["_id"]: document for document in await self._load_documents(pending)}
            writes = []
            for relationship_id in pending:
                before = found.get(relationship_id)
                relationship = Relationship.model_validate(before or {"relationship_id": relationship_id})
                updated[relationship_id] = after = decide(relationship)
                if after != relationship or before is None:
                    writes.append(GuardedWrite(relationship_id, before["v"] if before else 0, after.model_dump()))
            pending = await write_guarded(self._relationship_collection, writes)
        return updated

    async def find_clinic(self, clinic: ClinicId) -> Clinic | None:
        with translate_errors():
            found = await self._clinic_collection.find_one({"_id": clinic})
        return None if found is None else Clinic.model_validate(found)

    async def save_clinics(self, events: Sequence[ClinicUpdated]) -> None:
        pending = list(events)
        while pending:
            ids = list({event.clinic_id for event in pending})
            with translate_errors():
                found = await self._clinic_collection.find({"_id": {"$in": ids}}).to_list(None)
            versions = {document["_id"]: document["v"] for document in found}
            before = {document["_id"]: Clinic.model_validate(document) for document in found}
            after = dict(before)
            for event in pending:
                after[event.clinic_id] = evolve(after.get(event.clinic_id), event)
            changed = [clinic for i, clinic in after.items() if clinic != before.get(i)]
            conflicts = await write_guarded(
                self._clinic_collection,
                [GuardedWrite(c.clinic_id, versions.get(c.clinic_id, 0), c.model_dump()) for c in changed],
            )
            pending = [event for event in pending if event.clinic_id in conflicts]

    async def server_time(self) -> datetime:
        """The time of the database, which all processes share."""
        return await server_time(self.sessions.collection.database)

    async def find_overdue(self, now: datetime) -> list[Versioned[Session]]:
        with translate_errors():
            found = (
                await self.sessions.collection.find({"next_lapse_at": {"$lte": now}})
                .sort("next_lapse_at", 1)
                .limit(LAPSE_BATCH_SIZE)
                .to_list(LAPSE_BATCH_SIZE)
            )
        return [self.sessions.versioned(document) for document in found]

    async def save_decisions(
        self, loaded: Sequence[Versioned[Session]], decide: Callable[[Session], Decision]
    ) -> list[Event]:
        """In one round trip."""
        events: dict[UUID, Sequence[Event]] = {}
        writes = []
        for session in loaded:
            session_id = session.value.session_id
            after, events[session_id] = decide(session.value)
            entries = outbox_entries(events[session_id], self._clock())
            writes.append(GuardedWrite(session_id, session.version, self.sessions.dump(after), entries))
        conflicts = await write_guarded(self.sessions.collection, writes)
        written = [write for write in writes if write.id not in conflicts]
        for write in written:
            self._outbox.enqueue(SESSIONS, write.id, write.outbox_entries)
        return [event for write in written for event in events[write.id]]

    async def erase_sessions(self, ids: Iterable[UUID]) -> None:
        with translate_errors():
            await self.sessions.collection.delete_many({"relationship_id": {"$in": list(ids)}})

    async def count_unknown_clinics(self) -> UnknownClinics:
        with translate_errors():
            relationships = await self._relationship_collection.count_documents({**UNKNOWN, "erased_at": None})
        return UnknownClinics(relationships, await self._clinics_of_sessions.count_unknown())

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        return await self._clinics_of_sessions.list_unknown(after, limit)

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        await self._clinics_of_sessions.fill_in(clinics)

    async def _load_documents(self, ids: Iterable[UUID]) -> list[Document]:
        with translate_errors():
            return await self._relationship_collection.find({"_id": {"$in": list(ids)}}).to_list(None)
