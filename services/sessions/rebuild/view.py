"""The view of sessions: relationships, clinics and their staff."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from uuid import UUID

from pydantic import ValidationError

from services.sessions.domain.relationship import Relationship, evolve
from services.sessions.rebuild.clinics import Clinics
from services.sessions.store.mongo import RELATIONSHIPS, SESSIONS
from services.sessions.subscriptions import CONSUMED_EVENTS
from shared.events import Event, RelationshipEvent
from shared.events.topics import CONSUMED_TOPICS
from shared.mongo.client import Document, GuardedWrite, Mongo, translate_errors, write_guarded
from shared.rebuild.history import EventReader, History, SliceReader
from shared.rebuild.projection import ProjectionView, about_relationships, remove_invalid_versions, version_of
from shared.rebuild.view import (
    MISSING,
    UNREADABLE,
    Counts,
    Difference,
    StagedDocument,
    ViewResources,
    ViewSource,
    merge_pages,
)
from shared.staff.rebuild import STAFF_CORRECTED, StaffDocuments

VIEW_SOURCE = ViewSource("sessions", CONSUMED_TOPICS["sessions"], CONSUMED_EVENTS, "relationships_rebuilt")
CLINICS_CORRECTED = "clinics corrected"


@dataclass(frozen=True, slots=True)
class CurrentRelationship:
    """What is stored of one relationship."""

    document: Document | None
    has_sessions: bool = False
    """Looked up only if the client was erased."""


class SessionsView(ProjectionView[Relationship, CurrentRelationship]):
    """The projections of relationships, clinics and their staff."""

    subjects = "relationships and clinics"

    def __init__(self, mongo: Mongo, reader: EventReader) -> None:
        super().__init__(mongo[RELATIONSHIPS], reader)
        self._sessions = mongo[SESSIONS]
        self._clinics = Clinics(mongo)
        self._staff = StaffDocuments(mongo)

    async def create_indexes(self) -> None:
        """There are none: relationships and clinics are found by their ids."""

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        relationships = await super().list_ids(after, limit)
        clinics = await self._clinics.list_ids(after, limit)
        return merge_pages(limit, relationships, clinics, await self._staff.list_ids(after, limit))

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        wrong_clinics = await self._clinics.find_differences(histories)
        wrong_staff = await self._staff.find_differences(histories)
        return [*wrong_clinics, *wrong_staff, *await super().find_differences(about_relationships(histories))]

    async def stage(
        self, slice_reader: SliceReader, page: Mapping[UUID, History]
    ) -> tuple[Sequence[StagedDocument], Counts]:
        corrected = Counter({CLINICS_CORRECTED: await self._clinics.correct(page)})
        corrected[STAFF_CORRECTED] = await self._staff.correct(slice_reader, page)
        documents, counts = await super().stage(slice_reader, about_relationships(page))
        return documents, counts + corrected

    def create_empty(self, id: UUID) -> Relationship:
        return Relationship(relationship_id=id)

    def fold_forward(self, projection: Relationship, events: Sequence[Event]) -> Relationship:
        return reduce(evolve, (event for event in events if isinstance(event, RelationshipEvent)), projection)

    async def load_current(self, projections: Mapping[UUID, Relationship]) -> Mapping[UUID, CurrentRelationship]:
        erased = [id for id, relationship in projections.items() if relationship.erased_at is not None]
        with translate_errors():
            found = await self._relationships.find({"_id": {"$in": list(projections)}}).to_list(None)
            with_sessions = (
                await self._sessions.distinct("relationship_id", {"relationship_id": {"$in": erased}}) if erased else []
            )
        documents = {document["_id"]: document for document in found}
        return {id: CurrentRelationship(documents.get(id), id in with_sessions) for id in projections}

    def compare(self, projection: Relationship, current: CurrentRelationship) -> list[str]:
        names = _compare_documents(projection, current.document)
        return [*names, "sessions not erased"] if current.has_sessions else names

    def list_unexpected(self, projection: Relationship, current: CurrentRelationship) -> list[str]:
        return ["erasure not on the topics"] if _keep_erasure(projection, current.document) != projection else []

    async def remove_invalid_versions(self, projections: Mapping[UUID, Relationship]) -> None:
        await remove_invalid_versions(self._relationships, list(projections))

    async def save(
        self, projections: Mapping[UUID, Relationship], current: Mapping[UUID, CurrentRelationship]
    ) -> set[UUID]:
        writes = [
            GuardedWrite(id, version_of(current[id].document), _keep_erasure(relationship, document).model_dump())
            for id, relationship in projections.items()
            if _compare_documents(relationship, document := current[id].document)
        ]
        conflicts = await write_guarded(self._relationships, writes)
        erased = [id for id, relationship in projections.items() if relationship.erased_at is not None]
        if erased:
            with translate_errors():
                await self._sessions.delete_many({"relationship_id": {"$in": erased}})
        return conflicts

    def to_fields(self, projection: Relationship) -> Document:
        return {"relationship": projection.model_dump()}

    def from_fields(self, fields: Document) -> Relationship:
        return Relationship.model_validate(fields["relationship"])


def create_view(resources: ViewResources) -> SessionsView:
    return SessionsView(resources.mongo, resources.reader)


def _compare_documents(projection: Relationship, document: Document | None) -> list[str]:
    if document is None:
        return [MISSING]
    stored_relationship = _parse(document)
    if stored_relationship is None:
        return [UNREADABLE]
    expected = _keep_erasure(projection, document).model_dump()
    stored = stored_relationship.model_dump()  # a field that an older version did not write has its default
    names = [name for name in expected if stored[name] != expected[name]]
    return names if version_of(document) else [*names, "version"]


def _keep_erasure(projection: Relationship, document: Document | None) -> Relationship:
    """The projection, but erased if the document is: an erased client stays erased even if the topics lost it."""
    stored = _parse(document)
    if projection.erased_at is not None or stored is None or stored.erased_at is None:
        return projection
    return Relationship(relationship_id=projection.relationship_id, erased_at=stored.erased_at)


def _parse(document: Document | None) -> Relationship | None:
    try:
        return None if document is None else Relationship.model_validate(document)
    except ValidationError:
        return None
