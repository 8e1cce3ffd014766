"""What sessions needs remembered: the sessions themselves, and the relationships it has learned of.

Only the uniqueness of `_id` is relied on; every index is there for speed.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Decided, Session
from shared.documents import Documents
from shared.events import Event
from shared.mongo import Collection, Document, Mongo, other_than_duplicates, unavailable
from shared.outbox import Outbox, owed

SESSIONS = "sessions"
RELATIONSHIPS = "relationships"
AT_ONCE = 500
"""The most sessions that the timer takes at a time."""


class Store:
    """Remembers sessions and relationships in MongoDB."""

    def __init__(self, mongo: Mongo, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self.sessions = Documents(mongo[SESSIONS], Session, outbox, clock)
        self._relationships = mongo[RELATIONSHIPS]
        self._outbox = outbox
        self._clock = clock

    async def prepare(self) -> None:
        """Make what is looked for findable."""
        with unavailable():
            await self.sessions.collection.create_index("link_hashes", name="links")
            await self.sessions.collection.create_index("next_lapse_at", name="due")
            await self.sessions.collection.create_index("relationship_id", name="relationship")

    async def behind_link(self, link_hash: str) -> Session | None:
        """The session that a link leads to. Raises StoreUnavailable."""
        with unavailable():
            found = await self.sessions.collection.find_one({"link_hashes": link_hash})
        return None if found is None else self.sessions.read(found)

    async def relationship(self, relationship_id: UUID) -> Relationship | None:
        """What is known of a relationship. Raises StoreUnavailable."""
        with unavailable():
            found = await self._relationships.find_one({"_id": relationship_id})
        return None if found is None else Relationship.model_validate(found)

    async def relationships(self, ids: Iterable[UUID]) -> dict[UUID, Relationship]:
        """What is known of each that is known. Raises StoreUnavailable."""
        return {r["_id"]: Relationship.model_validate(r) for r in await self._found(ids)}

    async def learn(
        self, ids: Iterable[UUID], decide: Callable[[Relationship], Relationship]
    ) -> dict[UUID, Relationship]:
        """Bring what is known of `ids` up to date; `decide` must be safe to repeat. Raises StoreUnavailable.

        Two round trips for all of them; where somebody else came between, it is decided anew.
        """
        while True:
            versions = {r["_id"]: r for r in await self._found(ids)}
            writes, decided = [], {}
            for relationship_id in ids:
                found = versions.get(relationship_id)
                known = Relationship.model_validate(found or {"relationship_id": relationship_id})
                decided[relationship_id] = after = decide(known)
                if after != known or found is None:
                    guard = {"_id": relationship_id, "v": found["v"] if found else {"$exists": False}}
                    change = {"$set": after.model_dump(), "$inc": {"v": 1}}
                    writes.append(UpdateOne(guard, change, upsert=found is None))
            if not writes or await _all_written(self._relationships, writes):
                return decided

    async def due(self, now: datetime) -> list[Document]:
        """Sessions with a request that nobody answered in time, the longest due first. Raises StoreUnavailable."""
        with unavailable():
            return (
                await self.sessions.collection.find({"next_lapse_at": {"$lte": now}})
                .sort("next_lapse_at", 1)
                .limit(AT_ONCE)
                .to_list(AT_ONCE)
            )

    async def settle(self, found: Sequence[Document], decide: Callable[[Session], Decided]) -> list[Event]:
        """Decide on sessions just read and write those that nobody changed meanwhile, in one round trip.

        Returns the events that follow; what was left out is found again. Raises StoreUnavailable.
        """
        mark = uuid4()  # tells what we wrote from what another process wrote, whose events are the same
        writes, debts = [], dict[UUID, list[Document]]()
        events: dict[UUID, Sequence[Event]] = {}
        for document in found:
            after, follows = decide(self.sessions.read(document))
            which = after.session_id
            events[which], debts[which] = follows, owed(follows, self._clock())
            change: Document = {"$set": {**after.model_dump(), "settled": mark}, "$inc": {"v": 1}}
            if follows:
                change["$push"] = {"owed": {"$each": debts[which]}}
            writes.append(UpdateOne({"_id": which, "v": document["v"]}, change))
        written = (
            set(debts) if await _all_written(self.sessions.collection, writes) else await self._marked(mark, debts)
        )
        for session_id in written:
            self._outbox.wrote(SESSIONS, session_id, debts[session_id])
        return [event for session_id in written for event in events[session_id]]

    async def forget(self, ids: Iterable[UUID]) -> None:
        """Remove every session of the relationships `ids`, with all that was said. Raises StoreUnavailable."""
        with unavailable():
            await self.sessions.collection.delete_many({"relationship_id": {"$in": list(ids)}})

    async def _found(self, ids: Iterable[UUID]) -> list[Document]:
        with unavailable():
            return await self._relationships.find({"_id": {"$in": list(ids)}}).to_list(None)

    async def _marked(self, mark: UUID, among: Iterable[UUID]) -> set[UUID]:
        """Those of the sessions that were written with `mark`; somebody else changed the others first."""
        with unavailable():
            found = await self.sessions.collection.find(
                {"_id": {"$in": list(among)}, "settled": mark}, {"_id": 1}
            ).to_list(None)
        return {session["_id"] for session in found}


async def _all_written(collection: Collection, writes: Sequence[UpdateOne]) -> bool:
    """Write all that nobody else changed first; whether that was all of them."""
    try:
        with unavailable():
            result = await collection.bulk_write(list(writes), ordered=False)
    except BulkWriteError as error:
        if other_than_duplicates(error):
            raise
        return False
    return result.matched_count + result.upserted_count == len(writes)
