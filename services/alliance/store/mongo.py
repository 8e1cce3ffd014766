"""What we need remembered of every relationship, and MongoDB keeping to it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Protocol, cast
from uuid import UUID

from pydantic import TypeAdapter
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from services.alliance.domain.fold import Read
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import FACTS, Fact
from services.alliance.domain.tuning.dispositions import Judgement
from shared.events import Severity, by_name
from shared.events.cloudevents import decode, encode
from shared.mongo.client import Conflict, Document, Mongo, Session, insert_new, other_than_duplicates, unavailable

_STATE = TypeAdapter(Alliance)
_KINDS = by_name(FACTS)
_CONCERN: dict[Severity | None, int] = {None: 0, "watch": 1, "concern": 2, "urgent": 3}
OVER = -1
"""Concern for relationships that ended or are not watched: they stand last in a caseload."""
UNRATED = 101
"""Level of those without a rating: they stand behind every rated one."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The alliance of one relationship as it was read, and how often it has changed."""

    relationship: UUID
    read: Read = field(default_factory=partial(Read, Alliance()))
    version: int = 0

    @property
    def alliance(self) -> Alliance:
        return self.read.alliance

    def followed_by(self, read: Read) -> "Kept":
        """The next version, which can only be written where this one is the last; the same one if nothing changed."""
        return Kept(self.relationship, read, self.version if self.version and read == self.read else self.version + 1)


class Store(Protocol):
    """Remembers every relationship. Every method raises StoreUnavailable and is safe to repeat."""

    async def remember(self, facts: Sequence[Fact]) -> None:
        """Keep each fact once, however often it comes."""

    async def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        """The alliance of each as it was last kept; a new one where there is none."""

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[Fact]]:
        """All that is known of each, in no order."""

    async def keep(self, states: Sequence[Kept]) -> set[UUID]:
        """Write each whole or not at all; return those somebody else changed first."""

    async def forget(self, erasures: Mapping[UUID, UUID]) -> None:
        """Delete all that was heard of these relationships but the fact that says to forget them."""

    async def caseload(self, by: str, whose: UUID, most: int) -> list[Kept]:
        """The relationships of a clinic (`by` = `clinic`) or of a clinician, those of most concern first."""

    async def judge(self, dispositions: Sequence[Judgement]) -> list[Judgement]:
        """Keep each once, as it came first; return those that were not known."""

    async def judgements(self, relationships: Collection[UUID]) -> list[Judgement]:
        """What clinicians said of the alerts of these relationships."""

    async def count(self, clinic: UUID | None) -> int:
        """How many relationships the clinic has, or all clinics together."""

    async def page(self, clinic: UUID | None, after: UUID | None, most: int) -> list[UUID]:
        """The next of these relationships, by id."""


class MongoStore:
    """A store in MongoDB: `facts`, `judgements`, and one small document for each relationship in `alliances`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._facts = mongo["facts"]
        self._alliances = mongo["alliances"]
        self._judgements = mongo["judgements"]

    async def prepare(self) -> None:
        """Create the indexes."""
        with unavailable():
            await self._facts.create_index("r", name="relationship")
            await self._judgements.create_index("relationship", name="relationship")
            # Nothing that changes with a fact, such as what a caseload is sorted by: that made every write dearer.
            await self._alliances.create_index("clinic", name="of_clinic")
            await self._alliances.create_index("clinician", name="of_clinician")

            # Nearly empty, and touched only where an episode opens or ends.
            await self._alliances.create_index(
                "concern", name="open", partialFilterExpression={"concern": {"$gt": _CONCERN[None]}}
            )

    async def open_episodes(self) -> dict[Severity, int]:
        """How many relationships show signs of rupture now, by severity."""
        with unavailable():
            return {
                severity: await self._alliances.count_documents({"concern": concern})
                for severity, concern in _CONCERN.items()
                if severity is not None
            }

    async def remember(self, facts: Sequence[Fact]) -> None:
        documents = {event.id: {"_id": event.id, "r": event.relationship_id, "event": encode(event)} for event in facts}
        await insert_new(self._facts, list(documents.values()))

    async def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        with unavailable():
            documents = await self._alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        stored = {document["_id"]: as_kept(document) for document in documents}
        return {r: stored.get(r) or Kept(r) for r in relationships}

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[Fact]]:
        with unavailable():
            documents = await self._facts.find({"r": {"$in": list(relationships)}}).to_list(None)
        histories: dict[UUID, list[Fact]] = {r: [] for r in relationships}
        for document in documents:
            histories[document["r"]].append(cast("Fact", decode(document["event"], _KINDS)))
        return histories

    async def keep(self, states: Sequence[Kept]) -> set[UUID]:
        if not states:
            return set()
        try:
            return await self._mongo.attempt(partial(self._keep_together, states))
        except Conflict:
            return await self._keep_each(states)

    async def _keep_together(self, states: Sequence[Kept], session: Session) -> set[UUID]:
        """In a transaction, which costs the database a third: it makes sure that what was compared is still so."""
        ids = [state.relationship for state in states]
        documents = await self._alliances.find({"_id": {"$in": ids}}, {"v": 1}, session=session).to_list(None)
        stored_versions = {document["_id"]: document["v"] for document in documents}
        conflicts = {
            state.relationship
            for state in states
            if stored_versions.get(state.relationship, state.version - 1) != state.version - 1
        }
        writes = [
            ReplaceOne({"_id": state.relationship}, as_document(state), upsert=True)
            for state in states
            if state.relationship not in conflicts
        ]
        if writes:
            await self._alliances.bulk_write(writes, ordered=False, session=session)
        return conflicts

    async def _keep_each(self, states: Sequence[Kept]) -> set[UUID]:
        """One by one, where others write the same at the same time."""
        try:
            with unavailable():
                await self._alliances.bulk_write([_guarded(state) for state in states], ordered=False)
        except BulkWriteError as error:
            if other_than_duplicates(error):
                raise
            return {states[write["index"]].relationship for write in error.details["writeErrors"]}
        return set()

    async def forget(self, erasures: Mapping[UUID, UUID]) -> None:
        if erasures:
            with unavailable():
                await self._facts.delete_many({"r": {"$in": list(erasures)}, "_id": {"$nin": list(erasures.values())}})
                await self._judgements.delete_many({"relationship": {"$in": list(erasures)}})

    async def caseload(self, by: str, whose: UUID, most: int) -> list[Kept]:
        with unavailable():
            documents = await self._alliances.find({by: whose}).sort([("concern", -1), ("level", 1)]).to_list(most)
        return [as_kept(document) for document in documents]

    async def judge(self, dispositions: Sequence[Judgement]) -> list[Judgement]:
        with unavailable():
            stored = await self._judgements.find(
                {"_id": {"$in": [disposition.id for disposition in dispositions]}}, {"_id": 1}
            ).to_list(None)
        known_ids = {document["_id"] for document in stored}
        new = list(
            {disposition.id: disposition for disposition in dispositions if disposition.id not in known_ids}.values()
        )
        await insert_new(self._judgements, [_judgement_document(disposition) for disposition in new])
        return new

    async def judgements(self, relationships: Collection[UUID]) -> list[Judgement]:
        with unavailable():
            documents = await self._judgements.find({"relationship": {"$in": list(relationships)}}).to_list(None)
        return [_judgement(document) for document in documents]

    async def count(self, clinic: UUID | None) -> int:
        with unavailable():
            return await self._alliances.count_documents(_theirs(clinic))

    async def page(self, clinic: UUID | None, after: UUID | None, most: int) -> list[UUID]:
        after_filter = {} if after is None else {"_id": {"$gt": after}}
        with unavailable():
            documents = (
                await self._alliances.find(_theirs(clinic) | after_filter, {"_id": 1})
                .sort("_id", 1)
                .limit(most)
                .to_list(None)
            )
        return [document["_id"] for document in documents]


def _theirs(clinic: UUID | None) -> Document:
    return {} if clinic is None else {"clinic": clinic}


def _guarded(kept: Kept) -> ReplaceOne[Document]:
    """Writes only over the version that was read.

    Where another version is there, the upsert runs into its `_id` and fails: so each lost write is known.
    """
    return ReplaceOne({"_id": kept.relationship, "v": kept.version - 1}, as_document(kept), upsert=True)


def as_document(kept: Kept) -> Document:
    """The state in one field, because a small flat document is written four times as fast as a deep one."""
    alliance = kept.alliance
    return {
        "_id": kept.relationship,
        "v": kept.version,
        "clinic": alliance.clinic_id,
        "clinician": alliance.clinician_id,
        "concern": _CONCERN[alliance.open.severity if alliance.open else None] if _goes_on(alliance) else OVER,
        "level": UNRATED if alliance.client.rolling is None else alliance.client.rolling,
        "policy": kept.read.policy,
        "state": _STATE.dump_json(alliance, exclude_defaults=True).decode(),
    }


def as_kept(document: Document) -> Kept:
    alliance = _STATE.validate_json(document["state"])
    return Kept(document["_id"], Read(alliance, policy=document.get("policy", "")), document["v"])


def _goes_on(alliance: Alliance) -> bool:
    return alliance.ended_at is None and alliance.watched


def _judgement_document(disposition: Judgement) -> Document:
    return {"_id" if name == "id" else name: value for name, value in asdict(disposition).items()}


def _judgement(document: Document) -> Judgement:
    fields = {"id" if name == "_id" else name: value for name, value in document.items()}
    return Judgement(**fields | {"detectors": tuple(document["detectors"])})
