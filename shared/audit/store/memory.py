"""The store of the audit in memory, with the same promises as the one in MongoDB; for tests."""

import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import timedelta
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.audit.chain import AuditEntry, Head
from shared.audit.store.protocol import Heads, Position, Search
from shared.audit.verify import StoredEntry


class InMemoryAuditStore:
    """A store in memory."""

    def __init__(self, monotonic_clock: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_clock = monotonic_clock
        self.entries: list[AuditEntry] = []
        self._released: dict[ClinicId, Head] = {}
        self._leases: dict[ClinicId, tuple[UUID, float]] = {}
        """The owner, and when the lease expires."""

    def clear(self) -> None:
        """Remove everything, as who can change a database could."""
        self.entries.clear()
        self._released.clear()

    async def claim(self, clinic: ClinicId, owner: UUID, lease: timedelta) -> bool:
        now = self._monotonic_clock()
        holder, expires_at = self._leases.get(clinic, (owner, now))
        if holder != owner and now < expires_at:
            return False
        self._leases[clinic] = owner, now + lease.total_seconds()
        return True

    async def find_heads(self, clinic: ClinicId) -> Heads:
        chain = self._chain(clinic)
        return Heads(chain[-1].head if chain else Head(clinic), self._released.get(clinic, Head(clinic)))

    async def append(self, entries: Sequence[AuditEntry]) -> bool:
        for entry in entries:
            sequences = {other.sequence for other in self._chain(entry.line.clinic_id)}
            if entry.sequence in sequences or await self.find_appended([entry.line.id]):
                return False
            self.entries.append(entry)
        return True

    async def find_appended(self, line_ids: Collection[UUID]) -> set[UUID]:
        return {entry.line.id for entry in self.entries} & set(line_ids)

    async def release(self, owner: UUID, head: Head) -> None:
        if self._leases.get(head.clinic_id, (None, 0))[0] == owner:
            del self._leases[head.clinic_id]
            self._released[head.clinic_id] = head

    async def list_clinics(self) -> list[ClinicId]:
        return sorted({entry.line.clinic_id for entry in self.entries} | self._released.keys())

    async def stream(self, clinic: ClinicId) -> AsyncIterator[StoredEntry]:
        for entry in self._chain(clinic):
            yield entry

    async def list_entries(
        self, clinic: ClinicId, search: Search, after: Position | None, limit: int
    ) -> list[AuditEntry]:
        found = [entry for entry in self._chain(clinic) if _matches(entry, search)]
        found.sort(key=_sort_key)
        if after is not None:
            found = [entry for entry in found if _sort_key(entry) > (after.at, after.sequence)]
        return found[:limit]

    def _chain(self, clinic: ClinicId) -> list[AuditEntry]:
        chain = [entry for entry in self.entries if entry.line.clinic_id == clinic]
        return sorted(chain, key=lambda entry: entry.sequence)


def _sort_key(entry: AuditEntry) -> tuple[object, int]:
    return entry.line.at, entry.sequence


def _matches(entry: AuditEntry, search: Search) -> bool:
    line = entry.line
    return (
        (search.about is None or search.about in {line.on_behalf_of, *(target.id for target in line.targets)})
        and (search.by is None or search.by == line.actor.id)
        and (search.since is None or search.since <= line.at)
        and (search.until is None or line.at < search.until)
    )
