"""Documents that people change over HTTP, written together with the events of the change.

A change loads the document, lets a pure function decide the new document and its events, and stores both in one atomic
write, guarded by the version that was read. After a version conflict it loads and decides again.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

import structlog
from pydantic import BaseModel
from pymongo.errors import DuplicateKeyError

from shared.access.clinic_id import ClinicId
from shared.audit.line import AuditLine
from shared.audit.pending import PENDING_LINES, audit_entries
from shared.errors import IdTaken, StoreUnavailable
from shared.events import Event
from shared.mongo.client import Collection as MongoCollection
from shared.mongo.client import Document, Mongo, MongoSession, translate_errors
from shared.mongo.stored_names import StoredNames
from shared.outbox.relay import Outbox, outbox_entries

log = structlog.get_logger()

MAX_PENDING_EVENTS = 1_000
"""In the outbox of one document, while Kafka is unavailable: a tenth of what MongoDB's 16 MB can hold, or less."""

T = TypeVar("T", bound=BaseModel)
Result = TypeVar("Result")

Decide = Callable[[T | None], tuple[T, Sequence[Event]]]
"""From a document, or None if it does not exist yet, to the new document and the events of the change.

It raises Rejected if the change contradicts the current state. If the change was made before, it returns the document
unchanged and no events: this makes every HTTP write idempotent.
"""


class VersionConflict(Exception):
    """The document was written concurrently, after it was read and before it was written."""


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A document with the version at which it was read; 0 if it was not stored yet."""

    id: UUID
    value: T
    version: int = 0
    pending_events: int = field(default=0, compare=False)
    """Events in its outbox, which Kafka has not acknowledged yet."""


@dataclass(frozen=True)
class Change(Generic[T]):
    """What a change did: the document before, None if it did not exist, the document after, and the events."""

    before: T | None
    after: T
    events: Sequence[Event]
    entries: Sequence[Document] = field(default=(), repr=False, compare=False)
    """The events as the document stores them in its outbox."""

    @property
    def is_written(self) -> bool:
        """Whether there was something to write, with the audit lines of the change."""
        return self.after != self.before or bool(self.events)


class ClinicDocuments(Protocol[T]):
    """Documents of several clinics. Each read or write says first of which clinic."""

    def within(self, clinic: ClinicId | None) -> "DocumentCollection[T]":
        """The documents of one clinic; those of other clinics are as if they did not exist. None: those of all clinics.

        A change that would add a document under the id of another clinic's document raises IdTaken.
        """


class DocumentCollection(ClinicDocuments[T], Protocol[T]):
    """Documents of one model, each under the id that its first writer chose.

    Every method raises StoreUnavailable; then it is unknown whether it wrote, and repeating it is safe.
    """

    def audited(self, *lines: AuditLine) -> "DocumentCollection[T]":
        """The same documents, where every change that is written is written together with these audit lines."""

    async def get(self, document_id: UUID) -> T | None:
        """The document, or None."""

    async def load(self, document_id: UUID) -> Versioned[T] | None:
        """The document with its version, or None."""

    async def change(self, document_id: UUID, decide: Decide[T], loaded: Versioned[T] | None = None) -> Change[T]:
        """Write what `decide` makes of the document together with its events, in one atomic write.

        After a concurrent write, `decide` is called again. Raises what `decide` raises; then nothing was written. A
        caller that has loaded the document already passes it as `loaded`, which saves a read.
        """


@dataclass(frozen=True)
class Documents(Generic[T]):
    """A collection of documents in MongoDB."""

    collection: MongoCollection
    model: type[T]
    outbox: Outbox
    clock: Callable[[], datetime]
    stored_names: StoredNames = field(default_factory=StoredNames)
    clinic_field: str = "clinic_id"
    """The path of the field that holds the clinic of a document, under its stored names."""
    clinic: ClinicId | None = None
    """The clinic whose documents these are; None: those of all clinics."""
    audit_lines: Sequence[AuditLine] = ()

    def within(self, clinic: ClinicId | None) -> "Documents[T]":
        return replace(self, clinic=clinic)

    def audited(self, *lines: AuditLine) -> "Documents[T]":
        return replace(self, audit_lines=lines)

    async def get(self, document_id: UUID) -> T | None:
        found = await self.load(document_id)
        return None if found is None else found.value

    async def load(self, document_id: UUID) -> Versioned[T] | None:
        return await self.find({"_id": document_id})

    async def find(self, query: Document) -> Versioned[T] | None:
        """A document that matches `query`, or None. Raises StoreUnavailable."""
        with translate_errors():
            return await self._find_one(query)

    def filter(self, query: Document) -> Document:
        """`query`, narrowed down to the documents of the clinic."""
        return query if self.clinic is None else {**query, self.clinic_field: self.clinic}

    def parse(self, stored: Document) -> T:
        """The model of a stored document."""
        return self.stored_names.from_document(self.model, stored)

    def versioned(self, stored: Document) -> Versioned[T]:
        """The model of a stored document, with its version."""
        return Versioned(stored["_id"], self.parse(stored), stored["v"], len(stored.get("owed", ())))

    def dump(self, document: T) -> Document:
        """The fields of the document as they are stored."""
        return self.stored_names.to_document(document)

    async def change(self, document_id: UUID, decide: Decide[T], loaded: Versioned[T] | None = None) -> Change[T]:
        while True:
            try:
                with translate_errors():
                    change = await self.change_once(document_id, decide, loaded)
            except VersionConflict:
                loaded = None
            else:
                self.enqueue(document_id, change.entries)
                return change

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
        self,
        document_id: UUID,
        decide: Decide[T],
        loaded: Versioned[T] | None = None,
        session: MongoSession | None = None,
    ) -> Change[T]:
        """Decide and write once, and publish nothing yet.

        Raises VersionConflict, IdTaken if another clinic holds the id, and StoreUnavailable if the outbox is full.

        Errors of the driver are not translated: they tell a transaction to start again after a write conflict.
        """
        loaded = loaded or await self._find_one({"_id": document_id}, session)
        before = None if loaded is None else loaded.value
        after, events = decide(before)
        change = Change(before, after, events, entries := outbox_entries(events, self.clock()))
        if not change.is_written:
            return change
        if entries and loaded is not None and loaded.pending_events >= MAX_PENDING_EVENTS:
            raise StoreUnavailable(f"{MAX_PENDING_EVENTS} events of one document wait for Kafka")
        update: dict[str, Any] = {"$set": self.dump(after), "$inc": {"v": 1}}
        if pushed := {name: {"$each": each} for name, each in self._pending(entries).items() if each}:
            update["$push"] = pushed
        expected = self.filter({"_id": document_id, "v": {"$exists": False} if loaded is None else loaded.version})
        try:
            result = await self.collection.update_one(expected, update, upsert=loaded is None, session=session)
        except DuplicateKeyError:
            await self._reject_id_of_another_clinic(document_id)
            raise VersionConflict from None
        if not result.matched_count and result.upserted_id is None:
            raise VersionConflict
        return change

    def _pending(self, entries: Sequence[Document]) -> dict[str, Sequence[Document]]:
        """What the document holds until it is published, or chained, by field."""
        return {"owed": entries, PENDING_LINES: audit_entries(self.audit_lines)}

    async def _find_one(self, query: Document, session: MongoSession | None = None) -> Versioned[T] | None:
        stored = await self.collection.find_one(self.filter(query), session=session)
        return None if stored is None else self.versioned(stored)

    async def _reject_id_of_another_clinic(self, document_id: UUID) -> None:
        """Outside the session: a duplicate key has aborted its transaction."""
        if self.clinic is None:
            return
        if await self.collection.find_one({"_id": document_id, self.clinic_field: {"$ne": self.clinic}}, {"_id": 1}):
            raise IdTaken from None


class Transaction:
    """Changes of several documents, of which all are made or none."""

    def __init__(self, session: MongoSession) -> None:
        self._session = session
        self._enqueue_written: list[Callable[[], None]] = []

    async def change(self, documents: Documents[T], document_id: UUID, decide: Decide[T]) -> Change[T]:
        """Decide and write. Raises what `decide` raises; then nothing of the transaction is written."""
        change = await documents.change_once(document_id, decide, session=self._session)
        self._enqueue_written.append(lambda: documents.enqueue(document_id, change.entries))
        return change

    async def lock(self, documents: Documents[Any], document_ids: Collection[UUID]) -> None:
        """Keep other transactions from locking these documents until this one is done; one of two starts again.

        Documents that do not exist are not locked.
        """
        await documents.collection.update_many(
            documents.filter({"_id": {"$in": list(document_ids)}}), {"$inc": {"v": 1}}, session=self._session
        )

    async def find_all(self, documents: Documents[T], query: Document) -> list[T]:
        """The documents that match, with the changes of this transaction."""
        found = await documents.collection.find(documents.filter(query), session=self._session).to_list(None)
        return [documents.parse(stored) for stored in found]

    async def insert_all(self, documents: Documents[Any], new_documents: Sequence[Document]) -> None:
        """Insert documents as they are stored. Raises BulkWriteError if one of them exists."""
        if new_documents:
            await documents.collection.insert_many(new_documents, session=self._session)

    def enqueue(self) -> None:
        """Publish the outbox entries of all changes, which are durable now."""
        for enqueue in self._enqueue_written:
            enqueue()


async def change_in_transaction(mongo: Mongo, make_changes: Callable[[Transaction], Awaitable[Result]]) -> Result:
    """Make all changes of `make_changes`, which may be called several times, or none, and return its result.

    Raises StoreUnavailable, and what `make_changes` raises.
    """

    async def attempt(session: MongoSession) -> tuple[Transaction, Result]:
        transaction = Transaction(session)
        return transaction, await make_changes(transaction)

    try:
        transaction, result = await mongo.run_transaction(attempt)
    except VersionConflict as error:
        raise StoreUnavailable("the documents were changed concurrently; send the request again") from error
    transaction.enqueue()
    return result
