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
from services.alliance.domain.state.history import FACTS, Fact
from services.alliance.store.mongo import Kept, as_document, as_kept
from shared.errors import Unreadable
from shared.events import Event, by_name
from shared.events.cloudevents import decode, encode
from shared.mongo.client import Document, Mongo, other_than_duplicates, unavailable

MISSING, UNREADABLE = "missing", "unreadable"
_KINDS = by_name(FACTS)
_NOT_READABLE = (KeyError, TypeError, ValidationError)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A state as it ought to be kept, over which version of the view, and what follows from it."""

    relationship: UUID
    over: Any
    """`v` as it was read, whatever that was; 0 where nothing was there."""
    differs: tuple[str, ...]
    document: Document
    news: Sequence[bytes]

    @classmethod
    def of(
        cls, kept: Kept, current: Document | None, differences: tuple[str, ...], derived_events: Sequence[Event]
    ) -> "Rebuilt":
        base_version = current.get("v") if current else 0
        return cls(
            kept.relationship, base_version, differences, as_document(kept), [encode(event) for event in derived_events]
        )


class Shadow:
    """The view as it stands, and what stands beside it."""

    def __init__(self, mongo: Mongo) -> None:
        self._facts = mongo["facts"]
        self._alliances = mongo["alliances"]
        self._rebuilt = mongo["alliances_rebuilt"]

    async def prepare(self) -> None:
        """Create the index."""
        with unavailable():
            await self._rebuilt.create_index("share", name="share")

    async def states(self, relationships: Collection[UUID]) -> dict[UUID, Document]:
        """The documents of those that have one."""
        with unavailable():
            documents = await self._alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        return {document["_id"]: document for document in documents}

    async def facts(self, relationships: Collection[UUID]) -> dict[UUID, dict[UUID, bytes]]:
        """Each fact that is kept of each, by its id and as it is kept."""
        with unavailable():
            documents = await self._facts.find({"r": {"$in": list(relationships)}}).to_list(None)
        events_by_relationship: dict[UUID, dict[UUID, bytes]] = {r: {} for r in relationships}
        for document in documents:
            events_by_relationship[document["r"]][document["_id"]] = document.get("event", b"")
        return events_by_relationship

    async def put_back(self, missing: Sequence[Fact], different: Sequence[Fact]) -> None:
        """Keep these facts: those that are not there, and those that are there otherwise."""
        documents = [_fact_document(event) for event in missing]
        replacements = [_fact_document(event) for event in different]
        try:
            if documents:
                with unavailable():
                    await self._facts.insert_many(documents, ordered=False)
        except BulkWriteError as error:  # there after all, under another relationship or since we looked
            if other_than_duplicates(error):
                raise
            replacements += [documents[write["index"]] for write in error.details["writeErrors"]]
        if replacements:
            with unavailable():
                await self._facts.bulk_write(
                    [ReplaceOne({"_id": document["_id"]}, document) for document in replacements], ordered=False
                )

    async def write_beside(self, task_id: str, rebuilt: Sequence[Rebuilt]) -> None:
        """Write what differs beside the view."""
        if rebuilt:
            with unavailable():
                await self._rebuilt.bulk_write(
                    [
                        ReplaceOne({"_id": state.relationship}, _beside(task_id, state), upsert=True)
                        for state in rebuilt
                    ],
                    ordered=False,
                )

    async def beside(self, task_id: str, most: int) -> list[Rebuilt]:
        """Some of what was written beside for this share."""
        with unavailable():
            documents = await self._rebuilt.find({"share": task_id}).to_list(most)
        return [
            Rebuilt(
                document["_id"], document["over"], tuple(document["differs"]), document["document"], document["news"]
            )
            for document in documents
        ]

    async def swap(self, rebuilt: Sequence[Rebuilt]) -> set[UUID]:
        """Put each in place whole or not at all; return those that were changed meanwhile."""
        if not rebuilt:
            return set()
        writes = [
            ReplaceOne({"_id": state.relationship, "v": state.over}, state.document, upsert=True) for state in rebuilt
        ]
        try:
            with unavailable():
                await self._alliances.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            if other_than_duplicates(error):
                raise
            return {rebuilt[write["index"]].relationship for write in error.details["writeErrors"]}
        return set()

    async def forget(self, relationships: Iterable[UUID]) -> None:
        """These are in place, and what follows is told."""
        with unavailable():
            await self._rebuilt.delete_many({"_id": {"$in": list(relationships)}})

    async def forget_all(self) -> None:
        """Give up what is written beside."""
        with unavailable():
            await self._rebuilt.delete_many({})


def difference(current: Document | None, rebuilt: Kept) -> tuple[str, ...]:
    """Which fields of a state are not as they ought to be: their names, never what is in them."""
    if current is None:
        return (MISSING,)
    expected = as_document(rebuilt)
    # Of who is to be forgotten nobody knows any more whose policy it was.
    ignored = {"_id", "v", "state", *(["policy"] if rebuilt.alliance.erasure else [])}
    differences = [name for name in expected if name not in ignored and current.get(name) != expected[name]]
    if current.get("state") != expected["state"]:
        differences += _in_state(current, rebuilt.alliance)
    return tuple(differences)


def version_of(current: Document | None) -> int:
    """The version of a state as it is kept; 0 where that is none."""
    version = current.get("v") if current else None
    return version if isinstance(version, int) and version > 0 else 0


def erasure_of(current: Document) -> UUID | None:
    """The fact that says to forget this relationship, where its state says so."""
    try:
        return as_kept(current).alliance.erasure
    except _NOT_READABLE:
        return None


def readable(stored_event: bytes, relationship: UUID) -> Fact | None:
    """A fact as it is kept; none where nobody can read it, or where it is about another relationship."""
    try:
        event = cast("Fact | None", decode(stored_event, _KINDS))
    except (Unreadable, TypeError):
        return None
    return event if event and event.relationship_id == relationship else None


def _in_state(current: Document, expected: Alliance) -> list[str]:
    try:
        alliance = as_kept(current).alliance
    except _NOT_READABLE:
        return [UNREADABLE]
    if expected.erasure is not None and expected.erasure == alliance.erasure:
        return []  # which fact came last is forgotten with the facts
    return [field.name for field in fields(Alliance) if getattr(alliance, field.name) != getattr(expected, field.name)]


def _fact_document(event: Fact) -> Document:
    return {"_id": event.id, "r": event.relationship_id, "event": encode(event)}


def _beside(task_id: str, state: Rebuilt) -> Document:
    return {
        "share": task_id,
        **{
            ("_id" if dataclass_field.name == "relationship" else dataclass_field.name): getattr(
                state, dataclass_field.name
            )
            for dataclass_field in fields(state)
        },
    }
