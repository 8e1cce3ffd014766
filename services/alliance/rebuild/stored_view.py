"""The events and states of alliance as they are stored, damaged or not. Every method raises StoreUnavailable."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.store.mongo import from_document, to_document
from services.alliance.store.protocol import VersionedState
from shared.events import Event
from shared.events.cloudevents import encode
from shared.mongo.client import Document, Mongo, has_errors_besides_duplicates, translate_errors
from shared.rebuild.view import MISSING, UNREADABLE, Difference, StagedDocument, list_values

_DECODE_ERRORS = (KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class RebuiltState:
    """A state as it should be stored, the version it replaces, and the events derived from it."""

    difference: Difference
    base_version: Any
    """`v` as it was read, whatever that was; 0 if there was no document."""
    document: Document
    derived_events: Sequence[bytes]

    @property
    def relationship(self) -> UUID:
        return self.difference.id

    @classmethod
    def from_versioned(
        cls,
        versioned: VersionedState,
        current: Document | None,
        names: tuple[str, ...],
        derived_events: Sequence[Event],
    ) -> "RebuiltState":
        base_version = current.get("v") if current else 0
        encoded_events = [encode(event) for event in derived_events]
        return cls(Difference(versioned.relationship, names), base_version, to_document(versioned), encoded_events)

    @classmethod
    def from_staged(cls, staged: StagedDocument) -> "RebuiltState":
        fields = staged.fields
        return cls(staged.difference, fields["over"], fields["document"], fields["news"])

    def to_staged(self) -> StagedDocument:
        fields = {"over": self.base_version, "document": self.document, "news": list(self.derived_events)}
        return StagedDocument(self.difference, fields)


class StoredView:
    """Reads and repairs documents that the store of the service would not accept."""

    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo["facts"]
        self._alliances = mongo["alliances"]

    async def load_states(self, relationships: Collection[UUID]) -> dict[UUID, Document]:
        """The states; those that do not exist are missing."""
        with translate_errors():
            documents = await self._alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        return {document["_id"]: document for document in documents}

    async def load_events(self, relationships: Collection[UUID]) -> dict[UUID, dict[UUID, bytes]]:
        """The events of each relationship by id, as they are stored."""
        with translate_errors():
            documents = await self._events.find({"r": {"$in": list(relationships)}}).to_list(None)
        events_by_relationship: dict[UUID, dict[UUID, bytes]] = {r: {} for r in relationships}
        for document in documents:
            events_by_relationship[document["r"]][document["_id"]] = document.get("event", b"")
        return events_by_relationship

    async def list_event_relationships(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next relationships that have events, sorted; each as often as it has events."""
        return await list_values(self._events, "r", after, limit)

    async def restore_events(self, missing: Sequence[HistoryEvent], different: Sequence[HistoryEvent]) -> None:
        """Store the missing events, and those that were stored differently. Idempotent."""
        documents = [_event_document(event) for event in missing]
        replacements = [_event_document(event) for event in different]
        try:
            if documents:
                with translate_errors():
                    await self._events.insert_many(documents, ordered=False)
        except BulkWriteError as error:  # they exist after all: under another relationship, or since they were read
            if has_errors_besides_duplicates(error):
                raise
            replacements += [documents[write["index"]] for write in error.details["writeErrors"]]
        if replacements:
            with translate_errors():
                await self._events.bulk_write(
                    [ReplaceOne({"_id": document["_id"]}, document) for document in replacements], ordered=False
                )

    async def swap(self, states: Sequence[RebuiltState]) -> set[UUID]:
        """Write each state as a whole over its base version; return the conflicts. Idempotent."""
        if not states:
            return set()
        writes = [
            ReplaceOne({"_id": state.relationship, "v": state.base_version}, state.document, upsert=True)
            for state in states
        ]
        try:
            with translate_errors():
                await self._alliances.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            if has_errors_besides_duplicates(error):
                raise
            return {states[write["index"]].relationship for write in error.details["writeErrors"]}
        return set()


def compare_state(current: Document | None, expected: VersionedState) -> tuple[str, ...]:
    """The names of the fields of a state that differ."""
    if current is None:
        return (MISSING,)
    document = to_document(expected)
    # Of an erased client it is no longer known which clinic's policy applied.
    ignored = {"_id", "v", "state", *(["policy"] if expected.alliance.erasure_id else [])}
    differing = [name for name in document if name not in ignored and current.get(name) != document[name]]
    if current.get("state") != document["state"]:
        differing += _compare_alliance(current, expected.alliance)
    return tuple(differing)


def version_of(current: Document | None) -> int:
    """The version of a stored state; 0 if it has none."""
    version = current.get("v") if current else None
    return version if isinstance(version, int) and version > 0 else 0


def find_erasures(states: Mapping[UUID, Document]) -> dict[UUID, UUID]:
    """The event that erased the client, for each relationship whose stored state has one."""
    return {r: erasure_id for r, document in states.items() if (erasure_id := _erasure_of(document))}


def _erasure_of(document: Document) -> UUID | None:
    try:
        return from_document(document).alliance.erasure_id
    except _DECODE_ERRORS:
        return None


def _compare_alliance(current: Document, expected: Alliance) -> list[str]:
    try:
        alliance = from_document(current).alliance
    except _DECODE_ERRORS:
        return [UNREADABLE]
    if expected.erasure_id is not None and expected.erasure_id == alliance.erasure_id:
        return []  # with the events it is erased which of them was the last
    return [field.name for field in fields(Alliance) if getattr(alliance, field.name) != getattr(expected, field.name)]


def _event_document(event: HistoryEvent) -> Document:
    return {"_id": event.id, "r": event.relationship_id, "event": encode(event)}
