"""Documents that people change over HTTP, written together with the events of the change.

A change loads the document, lets a pure function decide the new document and its events, and stores both in one atomic
write, guarded by the version that was read. After a version conflict it loads and decides again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from pydantic import BaseModel
from pymongo.errors import DuplicateKeyError

from shared.errors import StoreUnavailable
from shared.events import Event
from shared.mongo.client import Collection, Document, Mongo, MongoSession, translate_errors
from shared.mongo.stored_names import StoredNames
from shared.outbox.relay import Outbox, outbox_entries

log = structlog.get_logger()

T = TypeVar("T", bound=BaseModel)

Decide = Callable[[T | None], tuple[T, Sequence[Event]]]
"""From a document, or None if it does not exist yet, to the new document and the events of the change.

It raises Rejected if the change contradicts the current state. If the change was made before, it returns the document
unchanged and no events: this makes every HTTP write idempotent.
"""


class VersionConflict(Exception):
    """The document was written concurrently, after it was read and before it was written."""


@dataclass(frozen=True)
class Documents(Generic[T]):
    """One collection of documents of one model; `_id` is the id that the first writer chose."""

    collection: Collection
    model: type[T]
    outbox: Outbox
    clock: Callable[[], datetime]
    stored_names: StoredNames = field(default_factory=StoredNames)

    async def get(self, document_id: UUID) -> T | None:
        """The document, or None. Raises StoreUnavailable."""
        with translate_errors():
            stored = await self.collection.find_one({"_id": document_id})
        return None if stored is None else self.parse(stored)

    def parse(self, stored: Document) -> T:
        """The model of a stored document."""
        return self.stored_names.from_document(self.model, stored)

    def dump(self, document: T) -> Document:
        """The fields of the document as they are stored."""
        return self.stored_names.to_document(document)

    async def change(self, document_id: UUID, decide: Decide[T]) -> T:
        """Decide and write, again after each version conflict. Raises StoreUnavailable, and what `decide` raises."""
        while True:
            try:
                with translate_errors():
                    document, entries = await self.change_once(document_id, decide)
            except VersionConflict:
                continue
            self.enqueue(document_id, entries)
            return document

    def enqueue(self, document_id: UUID, entries: Sequence[Document]) -> None:
        """Publish the outbox entries of a change that is durable."""
        if entries:
            log.info(
                "Document changed",
                collection=self.collection.name,
                id=str(document_id),
                events=[str(entry["id"]) for entry in entries],
            )
            self.outbox.enqueue(self.collection.name, document_id, entries)

    async def change_once(
        self, document_id: UUID, decide: Decide[T], session: MongoSession | None = None
    ) -> tuple[T, list[Document]]:
        """Decide and write once; return the document and its new outbox entries. Raises VersionConflict.

        Errors of the driver are not translated: they tell a transaction to start again after a write conflict.
        """
        stored = await self.collection.find_one({"_id": document_id}, session=session)
        before = None if stored is None else self.parse(stored)
        document, events = decide(before)
        if document == before and not events:
            return document, []
        entries = outbox_entries(events, self.clock())
        update: dict[str, Any] = {"$set": self.dump(document), "$inc": {"v": 1}}
        if entries:
            update["$push"] = {"owed": {"$each": entries}}
        expected = {"_id": document_id, "v": stored["v"] if stored else {"$exists": False}}
        try:
            result = await self.collection.update_one(expected, update, upsert=stored is None, session=session)
        except DuplicateKeyError:
            raise VersionConflict from None
        if not result.matched_count and result.upserted_id is None:
            raise VersionConflict
        return document, entries


async def change_in_transaction(mongo: Mongo, changes: Sequence[tuple[Documents[Any], UUID, Decide[Any]]]) -> list[Any]:
    """Make all `changes` or none. Raises StoreUnavailable, and what a `Decide` raises."""

    async def apply_changes(session: MongoSession) -> list[tuple[Any, list[Document]]]:
        return [await documents.change_once(document_id, decide, session) for documents, document_id, decide in changes]

    try:
        results = await mongo.run_transaction(apply_changes)
    except VersionConflict as error:
        raise StoreUnavailable("the documents were changed concurrently; send the request again") from error
    for (documents, document_id, _), (_, entries) in zip(changes, results, strict=True):
        documents.enqueue(document_id, entries)
    return [document for document, _ in results]
