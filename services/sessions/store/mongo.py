"""The store of the sessions service in MongoDB: sessions, and what is known of their relationships.

Correctness relies only on the uniqueness of `_id`. Every index is there for speed.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Decision, Session
from services.sessions.store.stored_names import STORED_NAMES
from shared.events import Event
from shared.mongo.client import Document, GuardedWrite, Mongo, server_time, translate_errors, write_guarded
from shared.outbox.documents import Documents
from shared.outbox.relay import Outbox, outbox_entries

SESSIONS = "sessions"
RELATIONSHIPS = "relationships"
LAPSE_BATCH_SIZE = 500
"""The maximum number of sessions that the timer lapses in one round trip."""


class Store:
    """Keeps sessions and relationships in MongoDB."""

    def __init__(self, mongo: Mongo, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self.sessions = Documents(mongo[SESSIONS], Session, outbox, clock, STORED_NAMES)
        self._relationship_collection = mongo[RELATIONSHIPS]
        self._outbox = outbox
        self._clock = clock

    async def create_indexes(self) -> None:
        """Create the indexes. Idempotent. Raises StoreUnavailable."""
        with translate_errors():
            await self.sessions.collection.create_index("link_hashes", name="links")
            await self.sessions.collection.create_index("next_lapse_at", name="due")
            await self.sessions.collection.create_index("relationship_id", name="relationship")

    async def find_by_link(self, link_hash: str) -> Session | None:
        """The session of a link, or None. Raises StoreUnavailable."""
        with translate_errors():
            found = await self.sessions.collection.find_one({"link_hashes": link_hash})
        return None if found is None else self.sessions.parse(found)

    async def find_relationship(self, relationship_id: UUID) -> Relationship | None:
        """The relationship, or None. Raises StoreUnavailable."""
        with translate_errors():
            found = await self._relationship_collection.find_one({"_id": relationship_id})
        return None if found is None else Relationship.model_validate(found)

    async def load_relationships(self, ids: Iterable[UUID]) -> dict[UUID, Relationship]:
        """The relationships that are known, by id. Raises StoreUnavailable."""
        return {document["_id"]: Relationship.model_validate(document) for document in await self._load_documents(ids)}

    async def update_relationships(
        self, ids: Iterable[UUID], decide: Callable[[Relationship], Relationship]
    ) -> dict[UUID, Relationship]:
        """Write what `decide` makes of each relationship, and return them by id. Raises StoreUnavailable.

        It takes two round trips. After a concurrent write, `decide` is called again, so it must be idempotent.
        """
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

    async def server_time(self) -> datetime:
        """The database's time, so that a process whose clock is ahead lapses nothing early. Raises StoreUnavailable."""
        return await server_time(self.sessions.collection.database)

    async def find_overdue(self, now: datetime) -> list[Document]:
        """Up to LAPSE_BATCH_SIZE sessions with an overdue request, the oldest first. Raises StoreUnavailable."""
        with translate_errors():
            return (
                await self.sessions.collection.find({"next_lapse_at": {"$lte": now}})
                .sort("next_lapse_at", 1)
                .limit(LAPSE_BATCH_SIZE)
                .to_list(LAPSE_BATCH_SIZE)
            )

    async def save_decisions(self, documents: Sequence[Document], decide: Callable[[Session], Decision]) -> list[Event]:
        """Decide on loaded sessions and write those that did not change concurrently, in one round trip.

        Returns the events of the written sessions; the others are found again. Raises StoreUnavailable.
        """
        events: dict[UUID, Sequence[Event]] = {}
        writes = []
        for document in documents:
            after, events[document["_id"]] = decide(self.sessions.parse(document))
            entries = outbox_entries(events[document["_id"]], self._clock())
            writes.append(GuardedWrite(document["_id"], document["v"], self.sessions.dump(after), entries))
        conflicts = await write_guarded(self.sessions.collection, writes)
        written = [write for write in writes if write.id not in conflicts]
        for write in written:
            self._outbox.enqueue(SESSIONS, write.id, write.outbox_entries)
        return [event for write in written for event in events[write.id]]

    async def erase_sessions(self, ids: Iterable[UUID]) -> None:
        """Delete every session of the relationships `ids`, with all answers. Raises StoreUnavailable."""
        with translate_errors():
            await self.sessions.collection.delete_many({"relationship_id": {"$in": list(ids)}})

    async def _load_documents(self, ids: Iterable[UUID]) -> list[Document]:
        with translate_errors():
            return await self._relationship_collection.find({"_id": {"$in": list(ids)}}).to_list(None)
