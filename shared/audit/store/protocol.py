"""What must be stored of the chains of one service."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.audit.chain import AuditEntry, Head
from shared.audit.verify import StoredEntry


@dataclass(frozen=True)
class Position:
    """The place of an entry in a search: by time, and within the same moment by sequence."""

    at: datetime
    sequence: int


@dataclass(frozen=True)
class Search:
    """Which lines of a clinic are searched for; what is None does not matter."""

    about: UUID | None = None
    """One of their targets, or the clinician for whom a deputy acted."""
    by: UUID | None = None
    """The person or machine that acted."""
    since: datetime | None = None
    until: datetime | None = None
    """The first moment that is not included."""


@dataclass(frozen=True)
class Heads:
    """The end of a clinic's chain as it is, and as it was noted."""

    last: Head
    """The last entry."""
    released: Head
    """What `release` noted last; earlier than `last` while a writer is at work or after it crashed."""

    @property
    def end(self) -> Head:
        """Where the chain goes on: not before the noted head, so that a cut-off end stays a gap."""
        return self.released if self.released.sequence > self.last.sequence else self.last

    @property
    def is_truncated(self) -> bool:
        """Whether entries at the end were removed."""
        return self.last.sequence < self.released.sequence


class AuditStore(Protocol):
    """Stores the chains of all clinics. Every method raises StoreUnavailable, and may be repeated.

    No two entries of a clinic have the same sequence, and no two entries the same line, whoever appends at once. The
    lease only saves writers from appending in vain.
    """

    async def claim(self, clinic: ClinicId, owner: UUID, lease: timedelta) -> bool:
        """Reserve the chain for one writer; False while another has it."""

    async def find_heads(self, clinic: ClinicId) -> Heads:
        """The end of the clinic's chain."""

    async def append(self, entries: Sequence[AuditEntry]) -> bool:
        """Append entries of one chain, in order.

        False if a sequence or a line exists already: then the entries before it are appended, the others are not.
        """

    async def find_appended(self, line_ids: Collection[UUID]) -> set[UUID]:
        """Which of these lines are in a chain."""

    async def release(self, owner: UUID, head: Head) -> None:
        """Note the head and give the chain back, unless another writer has claimed it since."""

    async def list_clinics(self) -> list[ClinicId]:
        """Every clinic that has a chain, or had one when it was released."""

    def stream(self, clinic: ClinicId) -> AsyncIterator[StoredEntry]:
        """All entries of a clinic as they are stored, in the order of their sequence."""

    async def list_entries(
        self, clinic: ClinicId, search: Search, after: Position | None, limit: int
    ) -> list[AuditEntry]:
        """The next entries that match, the earliest first."""
