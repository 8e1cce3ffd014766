"""The lines of changes: each is written into the changed document, in the write that changes it.

So no change is without its line, and no line without its change. As with outbox entries, a document holds its lines
only until they are in their chain. A document with a line must not be deleted.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo import UpdateOne

from shared.audit.line import AuditLine
from shared.audit.store.mongo import line_to_document
from shared.mongo.client import Collection as MongoCollection
from shared.mongo.client import Document, translate_errors

PENDING_LINES = "audit"
"""The field of a document."""
MAX_DOCUMENTS = 500
"""The maximum number of documents whose lines are chained together."""


def audit_entries(lines: Sequence[AuditLine]) -> list[Document]:
    """What a document stores under PENDING_LINES; add it in the write that makes the change."""
    return [line_to_document(line) for line in lines]


@dataclass(frozen=True)
class PendingLines:
    """The lines of some documents of one collection."""

    collection: str
    by_document: Mapping[Any, Sequence[AuditLine]]
    """The lines by the id of their document."""

    @property
    def lines(self) -> tuple[AuditLine, ...]:
        """All of them."""
        return tuple(line for lines in self.by_document.values() for line in lines)

    def only(self, line_ids: Collection[UUID]) -> "PendingLines | None":
        """Those of these lines; None if there is none."""
        selected = {i: [line for line in lines if line.id in line_ids] for i, lines in self.by_document.items()}
        selected = {i: lines for i, lines in selected.items() if lines}
        return PendingLines(self.collection, selected) if selected else None


class ChangedDocuments:
    """The documents of some collections that hold lines which are not removed yet."""

    def __init__(self, collections: Sequence[MongoCollection]) -> None:
        self._collections = {collection.name: collection for collection in collections}

    async def create_indexes(self) -> None:
        """Create the indexes by which the documents are found. Idempotent. Raises StoreUnavailable."""
        for collection in self._collections.values():
            with translate_errors():
                await collection.create_index(f"{PENDING_LINES}.at", name="audit", sparse=True)

    async def load(self) -> list[PendingLines]:
        """The oldest lines of each collection that has some.

        Raises StoreUnavailable, and ValidationError for a line that only a newer version can read: it stays.
        """
        loaded = [await self._load(name) for name in self._collections]
        return [pending for pending in loaded if pending.by_document]

    async def remove(self, pending: PendingLines) -> None:
        """Remove these lines from their documents. Idempotent. Raises StoreUnavailable."""
        removals = [
            UpdateOne({"_id": document_id}, {"$pull": {PENDING_LINES: {"id": {"$in": [line.id for line in lines]}}}})
            for document_id, lines in pending.by_document.items()
        ]
        with translate_errors():
            await self._collections[pending.collection].bulk_write(removals, ordered=False)

    async def find_oldest(self) -> datetime | None:
        """The time of the oldest line. Raises StoreUnavailable."""
        oldest = [await self._load(name, 1) for name in self._collections]
        return min((line.at for pending in oldest for line in pending.lines), default=None)

    async def _load(self, name: str, limit: int = MAX_DOCUMENTS) -> PendingLines:
        waiting = self._collections[name].find({f"{PENDING_LINES}.at": {"$exists": True}}, {PENDING_LINES: 1})
        with translate_errors():
            found = await waiting.sort(f"{PENDING_LINES}.at", 1).limit(limit).to_list(limit)
        return PendingLines(name, {document["_id"]: _parse_lines(document) for document in found})


def _parse_lines(document: Document) -> list[AuditLine]:
    return [AuditLine.model_validate(line) for line in document[PENDING_LINES]]
