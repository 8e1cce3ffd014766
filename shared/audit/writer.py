"""The only code that appends to chains.

That a chain is never forked, and a line appended once, rests on two unique indexes, not on the lease. A writer that was
paused and lost its lease finds its sequence taken, reads the end of the chain again and continues there.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.audit.chain import extend
from shared.audit.keys import AuditKey
from shared.audit.line import AuditLine
from shared.audit.store.protocol import AuditStore

LEASE = timedelta(seconds=2)
"""Many times as long as one batch takes; after a crash another writer goes on when it has passed."""
MAX_BATCH_LINES = 500
"""As many as are appended under one claim."""


class ChainWriter:
    """Appends lines to the chains of their clinics, under the lease of each."""

    def __init__(self, store: AuditStore, key: AuditKey, owner: UUID, lease: timedelta = LEASE) -> None:
        """`owner` is the id of this writer: no other process has it."""
        self._store = store
        self._key = key
        self._owner = owner
        self._lease = lease

    async def append(self, lines: Sequence[AuditLine]) -> set[UUID]:
        """Append each line that is not in a chain yet; return the ids of all that are in one now.

        The lines of a clinic whose chain another writer has claimed are left out. Raises StoreUnavailable: then some
        may be in a chain, and to append them again is safe.
        """
        by_clinic: defaultdict[ClinicId, list[AuditLine]] = defaultdict(list)
        for line in {line.id: line for line in lines}.values():
            by_clinic[line.clinic_id].append(line)
        appended = set[UUID]()
        for clinic, lines_of_clinic in by_clinic.items():
            for start in range(0, len(lines_of_clinic), MAX_BATCH_LINES):
                batch = lines_of_clinic[start : start + MAX_BATCH_LINES]
                if not await self._append_batch(clinic, batch):
                    break
                appended |= {line.id for line in batch}
        return appended

    async def _append_batch(self, clinic: ClinicId, lines: Sequence[AuditLine]) -> bool:
        if not await self._store.claim(clinic, self._owner, self._lease):
            return False
        pending = list(lines)
        while True:
            end = (await self._store.find_heads(clinic)).end
            entries = extend(end, pending, self._key)
            if await self._store.append(entries):
                await self._store.release(self._owner, entries[-1].head if entries else end)
                return True
            appended = await self._store.find_appended([line.id for line in pending])
            pending = [line for line in pending if line.id not in appended]
