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
    def of(cls, kept: Kept, there: Document | None, differs: tuple[str, ...], news: Sequence[Event]) -> "Rebuilt":
        over = there.get("v") if there else 0
        return cls(kept.relationship, over, differs, as_document(kept), [encode(event) for event in news])


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
            found = await self._alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        return {document["_id"]: document for document in found}

    async def facts(self, relationships: Collection[UUID]) -> dict[UUID, dict[UUID, bytes]]:
        """Each fact that is kept of each, by its id and as it is kept."""
        with unavailable():
            found = await self._facts.find({"r": {"$in": list(relationships)}}).to_list(None)
        kept: dict[UUID, dict[UUID, bytes]] = {r: {} for r in relationships}
        for document in found:
            kept[document["r"]][document["_id"]] = document.get("event", b"")
        return kept

    async def put_back(self, missing: Sequence[Fact], wrong: Sequence[Fact]) -> None:
        """Keep these facts: those that are not there, and those that are there otherwise."""
        documents = [_fact_document(fact) for fact in missing]
        rewrite = [_fact_document(fact) for fact in wrong]
        try:
            if documents:
                with unavailable():
                    await self._facts.insert_many(documents, ordered=False)
        except BulkWriteError as error:  # there after all, under another relationship or since we looked
            if other_than_duplicates(error):
                raise
            rewrite += [documents[write["index"]] for write in error.details["writeErrors"]]
        if rewrite:
            with unavailable():
                await self._facts.bulk_write([ReplaceOne({"_id": d["_id"]}, d) for d in rewrite], ordered=False)

    async def write_beside(self, share: str, rebuilt: Sequence[Rebuilt]) -> None:
        """Write what differs beside the view."""
        if rebuilt:
            with unavailable():
                await self._rebuilt.bulk_write(
                    [ReplaceOne({"_id": one.relationship}, _beside(share, one), upsert=True) for one in rebuilt],
                    ordered=False,
                )

    async def beside(self, share: str, most: int) -> list[Rebuilt]:
        """Some of what was written beside for this share."""
        with unavailable():
            found = await self._rebuilt.find({"share": share}).to_list(most)
        return [Rebuilt(d["_id"], d["over"], tuple(d["differs"]), d["document"], d["news"]) for d in found]

    async def swap(self, rebuilt: Sequence[Rebuilt]) -> set[UUID]:
        """Put each in place whole or not at all; return those that were changed meanwhile."""
        if not rebuilt:
            return set()
        writes = [ReplaceOne({"_id": one.relationship, "v": one.over}, one.document, upsert=True) for one in rebuilt]
        try:
            with unavailable():
                await self._alliances.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            if other_than_duplicates(error):
                raise
            return {rebuilt[write["index"]].relationship for write in error.details["writeErrors"]}
        return set()

    async def forget(self, rebuilt: Iterable[UUID]) -> None:
        """These are in place, and what follows is told."""
        with unavailable():
            await self._rebuilt.delete_many({"_id": {"$in": list(rebuilt)}})

    async def forget_all(self) -> None:
        """Give up what is written beside."""
        with unavailable():
            await self._rebuilt.delete_many({})


def difference(there: Document | None, rebuilt: Kept) -> tuple[str, ...]:
    """Which fields of a state are not as they ought to be: their names, never what is in them."""
    if there is None:
        return (MISSING,)
    ought = as_document(rebuilt)
    # Of who is to be forgotten nobody knows any more whose policy it was.
    apart = {"_id", "v", "state", *(["policy"] if rebuilt.alliance.erasure else [])}
    beside = [name for name in ought if name not in apart and there.get(name) != ought[name]]
    if there.get("state") != ought["state"]:
        beside += _in_state(there, rebuilt.alliance)
    return tuple(beside)


def version_of(there: Document | None) -> int:
    """The version of a state as it is kept; 0 where that is none."""
    version = there.get("v") if there else None
    return version if isinstance(version, int) and version > 0 else 0


def erasure_of(there: Document) -> UUID | None:
    """The fact that says to forget this relationship, where its state says so."""
    try:
        return as_kept(there).alliance.erasure
    except _NOT_READABLE:
        return None


def readable(event: bytes, relationship: UUID) -> Fact | None:
    """A fact as it is kept; none where nobody can read it, or where it is about another relationship."""
    try:
        fact = cast("Fact | None", decode(event, _KINDS))
    except (Unreadable, TypeError):
        return None
    return fact if fact and fact.relationship_id == relationship else None


def _in_state(there: Document, ought: Alliance) -> list[str]:
    try:
        kept = as_kept(there).alliance
    except _NOT_READABLE:
        return [UNREADABLE]
    if ought.erasure is not None and ought.erasure == kept.erasure:
        return []  # which fact came last is forgotten with the facts
    return [field.name for field in fields(Alliance) if getattr(kept, field.name) != getattr(ought, field.name)]


def _fact_document(fact: Fact) -> Document:
    return {"_id": fact.id, "r": fact.relationship_id, "event": encode(fact)}


def _beside(share: str, one: Rebuilt) -> Document:
    return {
        "share": share,
        **{("_id" if f.name == "relationship" else f.name): getattr(one, f.name) for f in fields(one)},
    }
