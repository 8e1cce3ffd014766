"""A view whose service stores no events: the topics alone say what its documents should be.

The law of every method: the stored documents are loaded first, and then the topics are read to their ends. Whatever
the service has written into a document was on the topics before that, so it has been read by then. Events that the
service has not consumed yet do no harm: it will consume them, and folding an event twice has no further effect.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from shared.events import Event, RelationshipEvent
from shared.kafka.event_reader import PartitionSlice
from shared.kafka.group_offsets import Offsets
from shared.mongo.client import Collection, Document, translate_errors
from shared.rebuild.history import EventReader, History, PageSize, SliceReader, known_part
from shared.rebuild.view import (
    NO_POLICY,
    RELATIONSHIPS_READ,
    Counts,
    Difference,
    StagedDocument,
    View,
    list_values,
)

Projection = TypeVar("Projection")
"""What is folded from the events of one key."""
Current = TypeVar("Current")
"""What is stored of it, damaged or not."""

_OFFSETS_FIELD = "positions"


class ProjectionView(View, ABC, Generic[Projection, Current]):
    """A view of projections of relationships; a service says how to fold, load, compare and save one."""

    subjects = "relationships"
    policy = NO_POLICY
    page_size = PageSize(documents=500, events=100_000)

    def __init__(self, relationships: Collection, reader: EventReader) -> None:
        self._relationships = relationships
        self._reader = reader

    @abstractmethod
    def create_empty(self, id: UUID) -> Projection:
        """The projection of no events."""

    @abstractmethod
    def fold_forward(self, projection: Projection, events: Sequence[Event]) -> Projection:
        """The projection after these events, which may be repeated."""

    @abstractmethod
    async def load_current(self, projections: Mapping[UUID, Projection]) -> Mapping[UUID, Current]:
        """What is stored of each projection."""

    @abstractmethod
    def compare(self, projection: Projection, current: Current) -> list[str]:
        """The names of what differs, and what `save` corrects."""

    def list_unexpected(self, projection: Projection, current: Current) -> list[str]:
        """The names of what is stored but not on the topics; `save` leaves it alone."""
        return []

    def list_losses(self, projection: Projection, current: Current) -> list[str]:
        """What people see of what is stored, and would not see of the projection."""
        return []

    @abstractmethod
    async def remove_invalid_versions(self, projections: Mapping[UUID, Projection]) -> None:
        """Remove every version that is no number, so that `save` can write over the document."""

    @abstractmethod
    async def save(self, projections: Mapping[UUID, Projection], current: Mapping[UUID, Current]) -> set[UUID]:
        """Write what differs over what was loaded, publish its derived events, and return the conflicts."""

    @abstractmethod
    def to_fields(self, projection: Projection) -> Document:
        """The projection in the staging collection."""

    @abstractmethod
    def from_fields(self, fields: Document) -> Projection:
        """The projection from the staging collection."""

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        return await list_values(self._relationships, "_id", after, limit)

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        projections = {id: self._fold(id, history) for id, history in histories.items()}
        current = await self.load_current(projections)
        names = {
            id: (*self.compare(projection, current[id]), *self.list_unexpected(projection, current[id]))
            for id, projection in projections.items()
        }
        return [Difference(id, names[id]) for id in names if names[id]]

    async def stage(
        self, slice_reader: SliceReader, page: Mapping[UUID, History]
    ) -> tuple[Sequence[StagedDocument], Counts]:
        lengths = {id: len(history) for id, history in page.items()}
        projections = {id: self._fold(id, history) for id, history in page.items()}
        current = await self.load_current(projections)
        await slice_reader.read_newer()
        projections |= {
            id: self.fold_forward(projections[id], _events(history[lengths[id] :]))
            for id, history in page.items()
            if len(history) > lengths[id]
        }
        offsets = [[topic, offset] for topic, offset in slice_reader.offsets.items()]
        names = {id: self.compare(projection, current[id]) for id, projection in projections.items()}
        different = [id for id in projections if names[id]]
        suspects = {id: page[id] for id in different if self.list_losses(projections[id], current[id])}
        losses = await self._find_losses(slice_reader, suspects) if suspects else {}
        documents = [
            StagedDocument(
                Difference(id, tuple(names[id])),
                {**self.to_fields(projections[id]), _OFFSETS_FIELD: offsets},
                losses.get(id, ()),
            )
            for id in different
        ]
        return documents, Counter({RELATIONSHIPS_READ: len(page)})

    async def _find_losses(
        self, slice_reader: SliceReader, suspects: Mapping[UUID, History]
    ) -> Mapping[UUID, tuple[str, ...]]:
        """What would be lost of each; not what the service itself removes when it consumes what it has not yet.

        `suspects` are histories of `slice_reader`, which grow as it reads.
        """
        known = await self._reader.known_offsets(slice_reader.partition_slice.partition)
        # The documents first, then the topics, as in every method: they contain at least what is known.
        current = await self.load_current({id: self._fold(id, history) for id, history in suspects.items()})
        await slice_reader.read_newer()
        return {
            id: tuple(
                loss
                for loss in self.list_losses(self._fold(id, history), current[id])
                if loss in self.list_losses(self._fold(id, known_part(history, known)), current[id])
            )
            for id, history in suspects.items()
        }

    async def swap(self, partition_slice: PartitionSlice, documents: Sequence[StagedDocument]) -> None:
        slice_reader = SliceReader(self._reader, partition_slice, _lowest_offsets(documents))
        pending = {document.id: self.from_fields(document.fields) for document in documents}
        await self.remove_invalid_versions(pending)
        while pending:
            current = await self.load_current(pending)
            newer = await slice_reader.read_newer()
            pending |= {id: self.fold_forward(pending[id], _events(newer[id])) for id in pending.keys() & newer.keys()}
            conflicts = await self.save(pending, current)
            pending = {id: pending[id] for id in conflicts}

    def _fold(self, id: UUID, history: History) -> Projection:
        return self.fold_forward(self.create_empty(id), _events(history))


def about_relationships(histories: Mapping[UUID, History]) -> dict[UUID, History]:
    """The histories of relationships: other events have the key of a clinic or a clinician."""
    return {
        key: history
        for key, history in histories.items()
        if any(isinstance(recorded.event, RelationshipEvent) for recorded in history)
    }


def version_of(document: Document | None) -> int:
    """The stored version, by which `save` guards its write; 0 if there is none."""
    version = document.get("v") if document else None
    return version if isinstance(version, int) and version > 0 else 0


async def remove_invalid_versions(collection: Collection, ids: Sequence[UUID]) -> None:
    """Remove every `v` that no service can have written. Raises StoreUnavailable."""
    invalid = {"$exists": True, "$not": {"$type": ["int", "long"], "$gte": 1}}
    with translate_errors():
        await collection.update_many({"_id": {"$in": list(ids)}, "v": invalid}, {"$unset": {"v": ""}})


def _events(history: History) -> list[Event]:
    return [recorded.event for recorded in history]


def _lowest_offsets(documents: Sequence[StagedDocument]) -> Offsets:
    offsets = [dict(document.fields[_OFFSETS_FIELD]) for document in documents]
    return {topic: min(each[topic] for each in offsets) for topic in offsets[0]}
