"""Documents that people change over HTTP: decided upon purely, written whole, with the events that follow.

A change reads the document, asks a pure function what it becomes and which events follow, and writes both in one
atomic write, guarded by the version that was read. When somebody else came between, it is decided anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from pydantic import BaseModel
from pymongo.errors import DuplicateKeyError

from shared.errors import StoreUnavailable
from shared.events import Event
from shared.mongo.client import Collection, Document, Mongo, MongoSession, translate_errors
from shared.outbox.relay import Outbox, outbox_entries

log = structlog.get_logger()

T = TypeVar("T", bound=BaseModel)

Decide = Callable[[T | None], tuple[T, Sequence[Event]]]
"""From a document, or none where there is none yet, to what it becomes and the events that follow.

It raises Refused when the change contradicts what is so, and returns the document as it was, with no events, when
the change was made before: that is what makes every HTTP write safe to repeat.
"""


class VersionConflict(Exception):
    """Somebody else wrote the document between our reading and our writing it."""


@dataclass(frozen=True)
class Documents(Generic[T]):
    """One collection of documents of one kind; `_id` is the id that its first writer chose."""

    collection: Collection
    model: type[T]
    outbox: Outbox
    clock: Callable[[], datetime]

    async def get(self, document_id: UUID) -> T | None:
        """The document, or none. Raises StoreUnavailable."""
        with translate_errors():
            stored = await self.collection.find_one({"_id": document_id})
        return None if stored is None else self.parse(stored)

    def parse(self, stored: Document) -> T:
        """The document in what the database gave."""
        return self.model.model_validate(stored)

    async def change(self, document_id: UUID, decide: Decide[T]) -> T:
        """Decide and write until nobody came between. Raises StoreUnavailable, and what `decide` raises."""
        while True:
            try:
                with translate_errors():
                    document, entries = await self.change_once(document_id, decide)
            except VersionConflict:
                continue
            self.enqueue(document_id, entries)
            return document

    def enqueue(self, document_id: UUID, entries: Sequence[Document]) -> None:
        """Say that a change is durable: what it owes is published."""
        if entries:
            log.info(
                "changed", what=self.collection.name, id=str(document_id), owes=[str(entry["id"]) for entry in entries]
            )
            self.outbox.enqueue(self.collection.name, document_id, entries)

    async def change_once(
        self, document_id: UUID, decide: Decide[T], session: MongoSession | None = None
    ) -> tuple[T, list[Document]]:
        """Decide and write once; the document and what it now owes. Raises ChangedMeanwhile.

        The driver's errors are its own here: in a transaction it begins again where two came into conflict.
        """
        stored = await self.collection.find_one({"_id": document_id}, session=session)
        before = None if stored is None else self.parse(stored)
        document, events = decide(before)
        if document == before and not events:
            return document, []
        entries = outbox_entries(events, self.clock())
        update: dict[str, Any] = {"$set": document.model_dump(), "$inc": {"v": 1}}
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
    """Make all `changes` or none. Raises StoreUnavailable, and what a decision raises."""

    async def apply_changes(session: MongoSession) -> list[tuple[Any, list[Document]]]:
        return [await documents.change_once(document_id, decide, session) for documents, document_id, decide in changes]

    try:
        results = await mongo.run_transaction(apply_changes)
    except VersionConflict as error:
        raise StoreUnavailable("somebody else changed the same documents; send the request again") from error
    for (documents, document_id, _), (_, entries) in zip(changes, results, strict=True):
        documents.enqueue(document_id, entries)
    return [document for document, _ in results]
