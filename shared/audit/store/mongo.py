"""The store of the audit in MongoDB.

An entry is one document under the id of its line, and the sequence of a clinic is unique. So neither two writers nor a
crash between two writes can fork a chain or append a line twice, without a transaction.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, DuplicateKeyError

from shared.access.clinic_id import ClinicId
from shared.audit.chain import AuditEntry, Head
from shared.audit.line import AuditLine
from shared.audit.store.protocol import Heads, Position, Search
from shared.audit.verify import StoredEntry, UnreadableEntry
from shared.mongo.client import Document, Mongo, has_errors_besides_duplicates, translate_errors

AUDIT, AUDIT_HEADS = "audit", "audit_heads"
"""The collections."""
STREAM_BATCH_SIZE = 1_000
OLDEST_FIRST = [("line.at", 1), ("sequence", 1)]
SEARCH_INDEXES: Mapping[str, Sequence[str]] = {
    "time": (),
    "target": ("line.targets.id",),
    "on_behalf_of": ("line.on_behalf_of",),
    "actor": ("line.actor.id",),
}
"""The fields between clinic and time, by the name of the index."""


class MongoAuditStore:
    """A store in MongoDB."""

    def __init__(self, mongo: Mongo) -> None:
        self._entries = mongo[AUDIT]
        self._heads = mongo[AUDIT_HEADS]
        self._has_unique_index = False

    async def create_indexes(self) -> None:
        """Create the indexes. Idempotent. Raises StoreUnavailable."""
        await self._ensure_unique_index()
        with translate_errors():
            for name, fields in SEARCH_INDEXES.items():
                keys = [("clinic_id", 1), *((field, 1) for field in fields), *OLDEST_FIRST]
                await self._entries.create_index(keys, name=name)

    async def claim(self, clinic: ClinicId, owner: UUID, lease: timedelta) -> bool:
        is_free = {"$or": [{"$eq": ["$owner", owner]}, {"$lte": [{"$ifNull": ["$leased_until", "$$NOW"]}, "$$NOW"]}]}
        expiry = {"$add": ["$$NOW", int(lease.total_seconds() * 1000)]}
        change: Document = {
            "owner": {"$cond": [is_free, owner, "$owner"]},
            "leased_until": {"$cond": [is_free, expiry, "$leased_until"]},
        }
        try:
            with translate_errors():
                claimed: Any = await self._heads.find_one_and_update(
                    {"_id": clinic}, [{"$set": change}], upsert=True, return_document=ReturnDocument.AFTER
                )
        except DuplicateKeyError:  # another writer was the first to claim it, at the same time
            return False
        return bool(claimed["owner"] == owner)

    async def find_heads(self, clinic: ClinicId) -> Heads:
        with translate_errors():
            released = await self._heads.find_one({"_id": clinic, "sequence": {"$gt": 0}})  # before the chain grows
            of_clinic = {"clinic_id": clinic, "sequence": {"$gt": 0}}
            last = await self._entries.find(of_clinic).sort("sequence", -1).limit(1).to_list(1)
        return Heads(_to_head(clinic, *last), _to_head(clinic, *([released] if released else [])))

    async def append(self, entries: Sequence[AuditEntry]) -> bool:
        if not entries:
            return True
        await self._ensure_unique_index()
        try:
            with translate_errors():
                await self._entries.insert_many([_to_document(entry) for entry in entries], ordered=True)
        except BulkWriteError as error:
            if has_errors_besides_duplicates(error):
                raise
            return False
        return True

    async def find_appended(self, line_ids: Collection[UUID]) -> set[UUID]:
        with translate_errors():
            found = await self._entries.find({"_id": {"$in": list(line_ids)}}, {"_id": 1}).to_list(None)
        return {document["_id"] for document in found}

    async def release(self, owner: UUID, head: Head) -> None:
        own = {"_id": head.clinic_id, "owner": owner}
        noted = {"sequence": head.sequence, "mac": head.mac}
        with translate_errors():
            await self._heads.update_one(own, {"$set": noted, "$unset": {"owner": "", "leased_until": ""}})

    async def list_clinics(self) -> list[ClinicId]:
        with translate_errors():
            clinics = [
                *await self._entries.distinct("clinic_id"),
                *await self._heads.distinct("_id", {"sequence": {"$gt": 0}}),
            ]
        return sorted({ClinicId(clinic) for clinic in clinics if isinstance(clinic, UUID)})

    async def stream(self, clinic: ClinicId) -> AsyncIterator[StoredEntry]:
        cursor = self._entries.find({"clinic_id": clinic}).sort("sequence", 1).batch_size(STREAM_BATCH_SIZE)
        while True:
            with translate_errors():
                document = await anext(cursor, None)
            if document is None:
                return
            yield _to_stored_entry(document)

    async def list_entries(
        self, clinic: ClinicId, search: Search, after: Position | None, limit: int
    ) -> list[AuditEntry]:
        query: Document = {"clinic_id": clinic, "$and": [*_conditions(search), *_after(after)]}
        if not query["$and"]:
            del query["$and"]
        with translate_errors():
            found = await self._entries.find(query).sort(OLDEST_FIRST).limit(limit).to_list(limit)
        entries = map(_to_stored_entry, found)
        return [entry for entry in entries if isinstance(entry, AuditEntry)]

    async def _ensure_unique_index(self) -> None:
        """Before the first entry: it rests on this index that no chain is forked."""
        if self._has_unique_index:
            return
        with translate_errors():
            await self._entries.create_index([("clinic_id", 1), ("sequence", 1)], name="chain", unique=True)
        self._has_unique_index = True


def _conditions(search: Search) -> list[Document]:
    conditions: list[Document] = []
    if search.about is not None:
        conditions.append({"$or": [{"line.targets.id": search.about}, {"line.on_behalf_of": search.about}]})
    if search.by is not None:
        conditions.append({"line.actor.id": search.by})
    if search.since is not None:
        conditions.append({"line.at": {"$gte": search.since}})
    if search.until is not None:
        conditions.append({"line.at": {"$lt": search.until}})
    return conditions


def _after(position: Position | None) -> list[Document]:
    if position is None:
        return []
    later = [{"line.at": {"$gt": position.at}}, {"sequence": {"$gt": position.sequence}}]
    return [{"line.at": {"$gte": position.at}}, {"$or": later}]


def line_to_document(line: AuditLine) -> Document:
    """The fields of a line, as entries and changed documents store them."""
    fields = line.model_dump(exclude_none=True)
    return {**fields, "targets": list(fields["targets"])}


def _to_document(entry: AuditEntry) -> Document:
    return {
        "_id": entry.line.id,
        "clinic_id": entry.line.clinic_id,
        "sequence": entry.sequence,
        "line": line_to_document(entry.line),
        "previous_mac": entry.previous_mac,
        "key_id": entry.key_id,
        "mac": entry.mac,
    }


def _to_head(clinic: ClinicId, *found: Document) -> Head:
    return Head(clinic, int(found[0]["sequence"]), str(found[0].get("mac"))) if found else Head(clinic)


def _to_stored_entry(document: Document) -> StoredEntry:
    """The entry, unless its document is not exactly what an entry is stored as."""
    sequence = document.get("sequence")
    sequence = sequence if isinstance(sequence, int) and sequence > 0 else None
    try:
        line = AuditLine.model_validate(document["line"])
        fields: dict[str, Any] = {name: document[name] for name in ("sequence", "previous_mac", "key_id", "mac")}
    except (ValidationError, KeyError):
        return UnreadableEntry(sequence)
    entry = AuditEntry(line, **fields)
    return entry if sequence is not None and _to_document(entry) == document else UnreadableEntry(sequence)
