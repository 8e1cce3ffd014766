"""Documents in memory, with the same promises as those in MongoDB; for tests."""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel

from shared.events import Event
from shared.outbox.documents import Change, Decide, Versioned

T = TypeVar("T", bound=BaseModel)


class InMemoryDocuments(Generic[T]):
    """A collection of documents in memory.

    The events of each change are added to `pending_events`, as a document in MongoDB holds them until they are
    published.
    """

    def __init__(self, pending_events: list[Event]) -> None:
        self.stored: dict[UUID, Versioned[T]] = {}
        self._pending_events = pending_events

    async def get(self, document_id: UUID) -> T | None:
        return self.stored[document_id].value if document_id in self.stored else None

    async def load(self, document_id: UUID) -> Versioned[T] | None:
        return self.stored.get(document_id)

    async def change(self, document_id: UUID, decide: Decide[T], loaded: Versioned[T] | None = None) -> Change[T]:
        change = self.decide(document_id, decide)
        self.write(document_id, change)
        return change

    def decide(self, document_id: UUID, decide: Decide[T]) -> Change[T]:
        """What `decide` makes of the document; nothing is written yet."""
        stored = self.stored.get(document_id)
        before = None if stored is None else stored.value
        after, events = decide(before)
        return Change(before, after, events)

    def write(self, document_id: UUID, change: Change[T]) -> None:
        """Write a change that was decided on the current document."""
        if change.after != change.before or change.events:
            self.put(document_id, change.after, change.events)

    def put(self, document_id: UUID, document: T, events: Sequence[Event] = ()) -> None:
        """Store the document as the next version, with its events."""
        version = self.stored[document_id].version if document_id in self.stored else 0
        self.stored[document_id] = Versioned(document_id, document, version + 1)
        self._pending_events += events

    def delete_where(self, condition: Callable[[T], bool]) -> None:
        """Delete the documents that meet the condition."""
        self.stored = {i: stored for i, stored in self.stored.items() if not condition(stored.value)}

    def find_all(self, ids: Iterable[UUID]) -> dict[UUID, T]:
        """The documents with these ids; those that do not exist are missing."""
        return {i: self.stored[i].value for i in ids if i in self.stored}
