"""The view of a service: what it derives from the topics, and what `rebuild` and `verify` need to know about it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.events import Event
from shared.events.topics import Topic
from shared.kafka.event_reader import PartitionSlice
from shared.mongo.client import Collection, Document, Mongo, translate_errors
from shared.rebuild.history import EventReader, History, PageSize, SliceReader

MISSING, UNREADABLE, NOT_ON_TOPICS = "missing", "unreadable", "not on the topics"
NO_POLICY = "no policy"
"""The policy of a view that does not depend on one; a running rebuild stores it."""
RELATIONSHIPS_READ = "relationships read"

Counts = Counter[str]
"""What a rebuild found, by the label under which it is reported."""
Publish = Callable[[Sequence[Event]], Awaitable[None]]


async def list_values(collection: Collection, field: str, after: UUID | None, limit: int) -> list[UUID]:
    """The next values of an indexed field, sorted; the same value several times if several documents have it."""
    condition: Document = {"$type": "binData"} if after is None else {"$gt": after}
    shown = {"_id": field == "_id", field: True}  # no more than the index has
    with translate_errors():
        found = await collection.find({field: condition}, shown).sort(field, 1).limit(limit).to_list(None)
    return [document[field] for document in found]


def merge_pages(limit: int, *pages: Sequence[UUID]) -> list[UUID]:
    """The next ids of several lists, of each of which a page of `limit` is given: none is passed over."""
    complete_up_to = min((page[-1] for page in pages if len(page) == limit), default=None)
    ids = {id for page in pages for id in page if complete_up_to is None or id <= complete_up_to}
    return sorted(ids)


@dataclass(frozen=True, slots=True)
class Difference:
    """A document that is not what the topics say, by the names of its fields: never by their content."""

    id: UUID
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.id}: {', '.join(self.names)}"


@dataclass(frozen=True, slots=True)
class StagedDocument:
    """What a document should be, until it is swapped in."""

    difference: Difference
    """From the document that it replaces."""
    fields: Document
    """What the view needs to swap it in."""
    losses: tuple[str, ...] = ()
    """What people would no longer see, although no event that the service has consumed says so."""

    @property
    def id(self) -> UUID:
        return self.difference.id


class View(Protocol):
    """What one service derives from the topics.

    `rebuild` and `verify` run in any number of processes while the service writes to the same documents. So every
    method is idempotent, and may run in two processes at once. Every method raises StoreUnavailable and
    BrokerUnavailable.
    """

    subjects: str
    """What histories are about, in the plural."""
    page_size: PageSize
    """How much is compared with the database at once."""
    policy: str
    """Identifies what the documents depend on besides the events; it must not change during a rebuild."""

    async def create_indexes(self) -> None:
        """Create the indexes that a rebuild of an empty database needs for speed."""

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        """Compare the stored documents with `histories`, which are complete up to some offset. Writes nothing."""

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        """What the next stored documents are about, sorted; about `limit` ids, and none only at the end."""

    def list_remarks(self) -> Sequence[str]:
        """Lines for the report of `verify`: what `find_differences` compared only in part."""
        return ()

    async def stage(
        self, slice_reader: SliceReader, page: Mapping[UUID, History]
    ) -> tuple[Sequence[StagedDocument], Counts]:
        """The documents that differ, as they should be. What needs no swap may be restored at once; it is counted."""

    async def swap(self, partition_slice: PartitionSlice, documents: Sequence[StagedDocument]) -> None:
        """Write the documents over the stored ones, losing nothing that the service wrote meanwhile.

        Then publish the events derived from them, under the same ids as ever.
        """


@dataclass(frozen=True, slots=True)
class ViewResources:
    """What a service creates its view from."""

    mongo: Mongo
    reader: EventReader
    """Reads the topics of the ViewSource."""
    publish: Publish
    """Works in a rebuild only."""


CreateView = Callable[[ViewResources], View]


@dataclass(frozen=True, slots=True)
class ViewSource:
    """Where the view of a service comes from, and where a rebuild keeps it until it is swapped in."""

    service: str
    """The name of the service and of its consumer group."""
    topics: tuple[Topic, ...]
    event_types: tuple[type[Event], ...]
    staging_collection: str
