"""The store of events, states and dispositions in MongoDB."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TypeVar
from uuid import UUID

from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from services.alliance.domain.fold import FoldResult
from services.alliance.domain.state.alliance import RetrospectiveSign
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent, choose_content, unique_events
from services.alliance.domain.tuning.dispositions import Disposition, Reopening
from services.alliance.store.protocol import CONCERN_RANK, VersionedState, caseload_level, concern_rank
from services.alliance.store.stored_names import dump_alliance, load_alliance
from shared.access.clinic_id import ClinicId
from shared.errors import DecodeError
from shared.events import Severity, by_type
from shared.events.cloudevents import decode, encode
from shared.mongo.client import Collection as MongoCollection
from shared.mongo.client import (
    Document,
    Mongo,
    MongoSession,
    WriteConflict,
    has_errors_besides_duplicates,
    insert_new,
    translate_errors,
)

_EVENT_TYPES = by_type(HISTORY_EVENTS)
MAX_DECODED_ON_LOOP = 1_000
"""Events; they are decoded in some 50 ms. More are decoded in a thread."""

Recorded = TypeVar("Recorded", Disposition, Reopening)


class MongoStore:
    """A store in MongoDB: `facts`, `judgements`, `reopenings`, and a small document per relationship in `alliances`."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._events = mongo["facts"]
        self._alliances = mongo["alliances"]
        self._dispositions = mongo["judgements"]
        self._reopenings = mongo["reopenings"]

    async def create_indexes(self) -> None:
        with translate_errors():
            await self._events.create_index("r", name="relationship")
            await self._dispositions.create_index("relationship", name="relationship")
            await self._reopenings.create_index("relationship", name="relationship")
            # No field that changes with every event, such as the sort keys of a caseload: that made every write slower.
            await self._alliances.create_index("clinic", name="of_clinic")
            await self._alliances.create_index("clinician", name="of_clinician")

            # Nearly empty, and updated only when an episode opens or closes.
            await self._alliances.create_index(
                "concern", name="open", partialFilterExpression={"concern": {"$gt": CONCERN_RANK[None]}}
            )

    async def count_open_episodes(self) -> dict[Severity, int]:
        """The number of relationships with an open episode, by severity."""
        with translate_errors():
            return {
                severity: await self._alliances.count_documents({"concern": concern})
                for severity, concern in CONCERN_RANK.items()
                if severity is not None
            }

    async def append(self, events: Sequence[HistoryEvent]) -> set[UUID]:
        chosen = unique_events(events)
        existing = await insert_new(self._events, [event_document(event) for event in chosen.values()])
        known = {event.relationship_id for event in events if event is not chosen[event.id]}
        return known | await self._choose_contents({document["_id"]: chosen[document["_id"]] for document in existing})

    async def _choose_contents(self, events: Mapping[UUID, HistoryEvent]) -> set[UUID]:
        """Of events that are stored already, store the content that counts, or replace a damaged one.

        Returns their relationships.
        """
        known = {event.relationship_id for event in events.values()}
        while events:
            with translate_errors():
                stored = await self._events.find({"_id": {"$in": list(events)}}).to_list(None)
            known |= {document["r"] for document in stored}
            replacements = [
                ReplaceOne(document, event_document(events[document["_id"]]))
                for document in stored
                if _is_replaced(document, events[document["_id"]])
            ]
            if not replacements:
                break
            with translate_errors():
                result = await self._events.bulk_write(replacements, ordered=False)
            if result.matched_count == len(replacements):
                break  # otherwise another process replaced one of them since it was read
        return known

    async def load(self, relationships: Collection[UUID]) -> Mapping[UUID, VersionedState]:
        with translate_errors():
            documents = await self._alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        stored = {document["_id"]: from_document(document) for document in documents}
        return {r: stored.get(r) or VersionedState(r) for r in relationships}

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[HistoryEvent]]:
        with translate_errors():
            documents = await self._events.find({"r": {"$in": list(relationships)}}).to_list(None)
        histories: dict[UUID, list[HistoryEvent]] = {r: [] for r in relationships}
        # A long history would block the event loop, and with it the consumer, for as long as its decoding takes.
        is_long = len(documents) > MAX_DECODED_ON_LOOP
        decoded = await asyncio.to_thread(_decode, documents) if is_long else _decode(documents)
        for relationship, event in decoded:
            histories[relationship].append(event)
        return histories

    async def save(self, states: Sequence[VersionedState]) -> set[UUID]:
        if not states:
            return set()
        try:
            return await self._mongo.try_transaction(partial(self._save_in_transaction, states))
        except WriteConflict:
            return await self._save_one_by_one(states)

    async def _save_in_transaction(self, states: Sequence[VersionedState], mongo_session: MongoSession) -> set[UUID]:
        """In a transaction, which keeps the versions valid and costs a third of guarded single writes."""
        ids = [state.relationship for state in states]
        documents = await self._alliances.find({"_id": {"$in": ids}}, {"v": 1}, session=mongo_session).to_list(None)
        stored_versions = {document["_id"]: document["v"] for document in documents}
        conflicts = {
            state.relationship
            for state in states
            if stored_versions.get(state.relationship, state.version - 1) != state.version - 1
        }
        writes = [
            ReplaceOne({"_id": state.relationship}, to_document(state), upsert=True)
            for state in states
            if state.relationship not in conflicts
        ]
        if writes:
            await self._alliances.bulk_write(writes, ordered=False, session=mongo_session)
        return conflicts

    async def _save_one_by_one(self, states: Sequence[VersionedState]) -> set[UUID]:
        """One by one, when another process writes the same states at the same time."""
        try:
            with translate_errors():
                await self._alliances.bulk_write([_guarded_replace(state) for state in states], ordered=False)
        except BulkWriteError as error:
            if has_errors_besides_duplicates(error):
                raise
            return {states[write["index"]].relationship for write in error.details["writeErrors"]}
        return set()

    async def erase(self, erasures: Mapping[UUID, UUID]) -> None:
        if erasures:
            with translate_errors():
                await self._events.delete_many({"r": {"$in": list(erasures)}, "_id": {"$nin": list(erasures.values())}})
                for collection in (self._dispositions, self._reopenings):
                    await collection.delete_many({"relationship": {"$in": list(erasures)}})

    async def find(self, clinic: ClinicId | None, relationship: UUID) -> VersionedState | None:
        with translate_errors():
            document = await self._alliances.find_one({"_id": relationship, **_clinic_filter(clinic)})
        return None if document is None else from_document(document)

    async def find_history(self, clinic: ClinicId | None, relationship: UUID) -> list[HistoryEvent]:
        """In one round trip more if a clinic is given: the events do not say of which one they are."""
        is_found = clinic is None or await self.find(clinic, relationship) is not None
        return (await self.history([relationship]))[relationship] if is_found else []

    async def caseload(
        self, clinic: ClinicId | None, owner_type: str, owner_id: UUID, limit: int, skip: int = 0
    ) -> list[VersionedState]:
        query = {"$and": [{owner_type: owner_id}, _clinic_filter(clinic)]}
        with translate_errors():
            documents = (
                await self._alliances.find(query)
                .sort([("concern", -1), ("level", 1), ("_id", 1)])
                .skip(skip)
                .limit(limit)
                .to_list(limit)
            )
        return [from_document(document) for document in documents]

    async def record_dispositions(self, dispositions: Sequence[Disposition]) -> list[Disposition]:
        new = await _find_new(self._dispositions, {d.id: d for d in dispositions})
        await insert_new(self._dispositions, [_to_document(disposition) for disposition in new])
        return new

    async def dispositions(self, relationships: Collection[UUID]) -> list[Disposition]:
        with translate_errors():
            documents = await self._dispositions.find({"relationship": {"$in": list(relationships)}}).to_list(None)
        return [Disposition(**_rename_id(d) | {"detectors": tuple(d["detectors"])}) for d in documents]

    async def record_reopenings(self, reopenings: Sequence[Reopening]) -> list[Reopening]:
        new = await _find_new(self._reopenings, {r.id: r for r in reopenings})
        await insert_new(self._reopenings, [_to_document(reopening) for reopening in new])
        return new

    async def reopenings(self, relationships: Collection[UUID]) -> list[Reopening]:
        with translate_errors():
            documents = await self._reopenings.find({"relationship": {"$in": list(relationships)}}).to_list(None)
        return [Reopening(**_rename_id(document)) for document in documents]

    async def count(self, clinic: ClinicId | None) -> int:
        with translate_errors():
            return await self._alliances.count_documents(_clinic_filter(clinic))

    async def page(self, clinic: ClinicId | None, after: UUID | None, limit: int) -> list[UUID]:
        after_filter = {} if after is None else {"_id": {"$gt": after}}
        with translate_errors():
            documents = (
                await self._alliances.find(_clinic_filter(clinic) | after_filter, {"_id": 1})
                .sort("_id", 1)
                .limit(limit)
                .to_list(None)
            )
        return [document["_id"] for document in documents]


def _decode(documents: Sequence[Document]) -> list[tuple[UUID, HistoryEvent]]:
    """The events of stored documents, each with its relationship; without those of types that are no longer known."""
    decoded = ((document["r"], decode(document["event"], _EVENT_TYPES, max_bytes=None)) for document in documents)
    return [(relationship, event) for relationship, event in decoded if event is not None]


def _clinic_filter(clinic: ClinicId | None) -> Document:
    return {} if clinic is None else {"clinic": clinic}


def event_document(event: HistoryEvent) -> Document:
    return {"_id": event.id, "r": event.relationship_id, "event": encode(event)}


def _is_replaced(stored: Document, event: HistoryEvent) -> bool:
    """Whether `event` counts and not the stored one, or the stored one is damaged."""
    if stored == event_document(event):
        return False
    try:
        stored_event = decode(stored["event"], _EVENT_TYPES, max_bytes=None)
    except (DecodeError, KeyError, TypeError):
        return True
    if stored_event is None or stored_event.relationship_id != stored["r"]:
        return True
    return choose_content(stored_event, event) != stored_event


def _guarded_replace(state: VersionedState) -> ReplaceOne[Document]:
    """Replaces only the version that was read.

    If another version is stored, the upsert violates the unique `_id` and fails, so every conflict is reported.
    """
    return ReplaceOne({"_id": state.relationship, "v": state.version - 1}, to_document(state), upsert=True)


def to_document(state: VersionedState) -> Document:
    """The state in one field, because a small flat document is written four times as fast as a nested one.

    Like the version, `retrospective` depends on how the state came about: `verify` compares neither.
    """
    alliance, retrospective = state.alliance, state.result.retrospective
    return {
        "_id": state.relationship,
        "v": state.version,
        "clinic": alliance.clinic_id,
        "clinician": alliance.clinician_id,
        "concern": concern_rank(alliance),
        "level": caseload_level(alliance),
        "policy": state.result.policy_digest,
        "state": dump_alliance(alliance).decode(),
        **({"retrospective": asdict(retrospective)} if retrospective else {}),
    }


def from_document(document: Document) -> VersionedState:
    alliance = load_alliance(document["state"])
    found = document.get("retrospective")
    retrospective = RetrospectiveSign(**found) if found else None
    result = FoldResult(alliance, policy_digest=document.get("policy", ""), retrospective=retrospective)
    return VersionedState(document["_id"], result, document["v"])


async def _find_new(collection: MongoCollection, by_id: Mapping[UUID, Recorded]) -> list[Recorded]:
    """Those that are not stored yet."""
    with translate_errors():
        stored = await collection.find({"_id": {"$in": list(by_id)}}, {"_id": 1}).to_list(None)
    known_ids = {document["_id"] for document in stored}
    return [recorded for id, recorded in by_id.items() if id not in known_ids]


def _to_document(recorded: Disposition | Reopening) -> Document:
    return {"_id" if name == "id" else name: value for name, value in asdict(recorded).items()}


def _rename_id(document: Document) -> Document:
    return {"id" if name == "_id" else name: value for name, value in document.items()}
