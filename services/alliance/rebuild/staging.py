"""What a rebuild and a verification read of the database as it is, damaged or not, and what a rebuild puts there.

States that ought to be there are written beside the view, into `alliances_rebuilt`, each with the version it stands
over and the events that follow from it, until they are swapped in. Every method raises StoreUnavailable and is safe to
repeat.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast
from uuid import UUID

from pydantic import ValidationError
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent
from services.alliance.store.mongo import Versioned, from_document, to_document
from shared.errors import DecodeError
from shared.events import Event, by_type
from shared.events.cloudevents import decode, encode
from shared.mongo.client import Document, Mongo, has_errors_besides_duplicates, translate_errors

MISSING, UNREADABLE = "missing", "unreadable"
_EVENT_TYPES = by_type(HISTORY_EVENTS)
_DECODE_ERRORS = (KeyError, TypeError, ValidationError)


@dataclass(frozen=True, slots=True)
class RebuiltState:
    """A state as it ought to be kept, over which version of the view, and what follows from it."""

    relationship: UUID
    base_version: Any
    """`v` as it was read, whatever that was; 0 where nothing was there."""
    differences: tuple[str, ...]
    document: Document
    derived_events: Sequence[bytes]

    @classmethod
    def from_versioned(
        cls,
        versioned: Versioned,
        current: Document | None,
        differences: tuple[str, ...],
        derived_events: Sequence[Event],
    ) -> "RebuiltState":
        base_version = current.get("v") if current else 0
        return cls(
            versioned.relationship,
            base_version,
            differences,
            to_document(versioned),
            [encode(event) for event in derived_events],
        )


class Staging:
    """The view as it stands, and what stands beside it."""

    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo["facts"]
        self._alliances = mongo["alliances"]
        self._staging = mongo["alliances_rebuilt"]

    async def create_indexes(self) -> None:
        """Create the index."""
        with translate_errors():
            await self._staging.create_index("share", name="share")

    async def states(self, relationships: Collection[UUID]) -> dict[UUID, Document]:
        """The documents of those that have one."""
        with translate_errors():
            documents = await self._alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        return {document["_id"]: document for document in documents}

    async def events(self, relationships: Collection[UUID]) -> dict[UUID, dict[UUID, bytes]]:
        """Each fact that is kept of each, by its id and as it is kept."""
        with translate_errors():
            documents = await self._events.find({"r": {"$in": list(relationships)}}).to_list(None)
        events_by_relationship: dict[UUID, dict[UUID, bytes]] = {r: {} for r in relationships}
        for document in documents:
            events_by_relationship[document["r"]][document["_id"]] = document.get("event", b"")
        return events_by_relationship

    async def restore_events(self, missing: Sequence[HistoryEvent], different: Sequence[HistoryEvent]) -> None:
        """Keep these facts: those that are not there, and those that are there otherwise."""
        documents = [_event_document(event) for event in missing]
        replacements = [_event_document(event) for event in different]
        try:
            if documents:
                with translate_errors():
                    await self._events.insert_many(documents, ordered=False)
        except BulkWriteError as error:  # there after all, under another relationship or since we looked
            if has_errors_besides_duplicates(error):
                raise
            replacements += [documents[write["index"]] for write in error.details["writeErrors"]]
        if replacements:
            with translate_errors():
                await self._events.bulk_write(
                    [ReplaceOne({"_id": document["_id"]}, document) for document in replacements], ordered=False
                )

    async def stage(self, task_id: str, states: Sequence[RebuiltState]) -> None:
        """Write what differs beside the view."""
        if states:
            with translate_errors():
                await self._staging.bulk_write(
                    [
                        ReplaceOne({"_id": state.relationship}, _staging_document(task_id, state), upsert=True)
                        for state in states
                    ],
                    ordered=False,
                )

    async def staged(self, task_id: str, limit: int) -> list[RebuiltState]:
        """Some of what was written beside for this share."""
        with translate_errors():
            documents = await self._staging.find({"share": task_id}).to_list(limit)
        return [
            RebuiltState(
                document["_id"], document["over"], tuple(document["differs"]), document["document"], document["news"]
            )
            for document in documents
        ]

    async def swap(self, states: Sequence[RebuiltState]) -> set[UUID]:
        """Put each in place whole or not at all; return those that were changed meanwhile."""
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

    async def delete(self, relationships: Iterable[UUID]) -> None:
        """These are in place, and what follows is told."""
        with translate_errors():
            await self._staging.delete_many({"_id": {"$in": list(relationships)}})

    async def clear(self) -> None:
        """Give up what is written beside."""
        with translate_errors():
            await self._staging.delete_many({})


def find_differences(current: Document | None, rebuilt: Versioned) -> tuple[str, ...]:
    """Which fields of a state are not as they ought to be: their names, never what is in them."""
    if current is None:
        return (MISSING,)
    expected = to_document(rebuilt)
    # Of who is to be forgotten nobody knows any more whose policy it was.
    ignored = {"_id", "v", "state", *(["policy"] if rebuilt.alliance.erasure_id else [])}
    differences = [name for name in expected if name not in ignored and current.get(name) != expected[name]]
    if current.get("state") != expected["state"]:
        differences += _find_state_differences(current, rebuilt.alliance)
    return tuple(differences)


def version_of(current: Document | None) -> int:
    """The version of a state as it is kept; 0 where that is none."""
    version = current.get("v") if current else None
    return version if isinstance(version, int) and version > 0 else 0


def erasure_of(current: Document) -> UUID | None:
    """The fact that says to forget this relationship, where its state says so."""
    try:
        return from_document(current).alliance.erasure_id
    except _DECODE_ERRORS:
        return None


def decode_stored(stored_event: bytes, relationship: UUID) -> HistoryEvent | None:
    """A fact as it is kept; none where nobody can read it, or where it is about another relationship."""
    try:
        event = cast("HistoryEvent | None", decode(stored_event, _EVENT_TYPES))
    except (DecodeError, TypeError):
        return None
    return event if event and event.relationship_id == relationship else None


def _find_state_differences(current: Document, expected: Alliance) -> list[str]:
    try:
        alliance = from_document(current).alliance
    except _DECODE_ERRORS:
        return [UNREADABLE]
    if expected.erasure_id is not None and expected.erasure_id == alliance.erasure_id:
        return []  # which fact came last is forgotten with the facts
    return [field.name for field in fields(Alliance) if getattr(alliance, field.name) != getattr(expected, field.name)]


def _event_document(event: HistoryEvent) -> Document:
    return {"_id": event.id, "r": event.relationship_id, "event": encode(event)}


def _staging_document(task_id: str, state: RebuiltState) -> Document:
    return {
        "share": task_id,
        **{
            ("_id" if dataclass_field.name == "relationship" else dataclass_field.name): getattr(
                state, dataclass_field.name
            )
            for dataclass_field in fields(state)
        },
    }
