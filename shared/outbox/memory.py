"""Documents in memory, with the same promises as those in MongoDB; for tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from operator import attrgetter
from typing import Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel

from shared.access.clinic_id import ClinicId
from shared.audit.line import AuditLine
from shared.errors import IdTaken
from shared.events import Event
from shared.outbox.documents import Change, Decide, Versioned

T = TypeVar("T", bound=BaseModel)


class InMemoryDocuments(Generic[T]):
    """A collection of documents in memory.

    The events of each change are added to `pending_events`, as a document in MongoDB holds them until they are
    published.
    """

    def __init__(self, pending_events: list[Event], clinic_field: str = "clinic_id") -> None:
        self._stored: dict[UUID, Versioned[T]] = {}
        self._pending_events = pending_events
        self._clinic_field = clinic_field
        self._clinic: ClinicId | None = None
        self._audit_lines: Sequence[AuditLine] = ()
        self.pending_lines: list[AuditLine] = []
        """The audit lines of all changes."""

    @property
    def stored(self) -> Mapping[UUID, Versioned[T]]:
        """The documents with their versions, by id."""
        return self._find_stored(self._stored)

    def within(self, clinic: ClinicId | None) -> "InMemoryDocuments[T]":
        documents = copy(self)  # with the same dictionary
        documents._clinic = clinic
        return documents

    def audited(self, *lines: AuditLine) -> "InMemoryDocuments[T]":
        documents = copy(self)
        documents._audit_lines = lines
        return documents

    async def get(self, document_id: UUID) -> T | None:
        return self.find_all([document_id]).get(document_id)

    async def load(self, document_id: UUID) -> Versioned[T] | None:
        return self._find_stored([document_id]).get(document_id)

    async def change(self, document_id: UUID, decide: Decide[T], loaded: Versioned[T] | None = None) -> Change[T]:
        change = self.decide(document_id, decide)
        self.write(document_id, change)
        return change

    def decide(self, document_id: UUID, decide: Decide[T]) -> Change[T]:
        """What `decide` makes of the document; nothing is written yet.

        Raises IdTaken if another clinic holds the id.
        """
        before = self.find_all([document_id]).get(document_id)
        after, events = decide(before)
        if before is None and document_id in self._stored:
            raise IdTaken
        return Change(before, after, events)

    def write(self, document_id: UUID, change: Change[T]) -> None:
        """Write a change that was decided on the current document."""
        if change.is_written:
            self.put(document_id, change.after, change.events)
            self.pending_lines += self._audit_lines

    def put(self, document_id: UUID, document: T, events: Sequence[Event] = ()) -> None:
        """Store the document as the next version, with its events."""
        version = self._stored[document_id].version if document_id in self._stored else 0
        self._stored[document_id] = Versioned(document_id, document, version + 1)
        self._pending_events += events

    def delete_where(self, condition: Callable[[T], bool]) -> None:
        """Delete the documents that meet the condition."""
        for document_id in [i for i, stored in self.stored.items() if condition(stored.value)]:
            del self._stored[document_id]

    def find_all(self, ids: Iterable[UUID]) -> dict[UUID, T]:
        """The documents with these ids; those that do not exist are missing."""
        return {i: stored.value for i, stored in self._find_stored(ids).items()}

    def _find_stored(self, ids: Iterable[UUID]) -> dict[UUID, Versioned[T]]:
        found = {i: self._stored[i] for i in ids if i in self._stored}
        if self._clinic is None:
            return found
        clinic_of = attrgetter(self._clinic_field)
        return {i: stored for i, stored in found.items() if clinic_of(stored.value) == self._clinic}
