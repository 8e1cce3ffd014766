"""The staff as requests see it: from the database at most every few seconds."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.staff.staff import ClinicStaff
from shared.staff.store import StaffSource

MAX_AGE_SECONDS = 5.0
"""How long a process may not notice what another one of the same service has stored."""


class CachedStaff:
    """The staff of each clinic as it was at most MAX_AGE_SECONDS ago, or as this process has changed it since."""

    def __init__(self, source: StaffSource, monotonic_clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._monotonic_clock = monotonic_clock
        self._staff: dict[UUID, tuple[float, ClinicStaff]] = {}
        """With the time at which reading it began."""
        self._drops: Counter[UUID] = Counter()

    async def of(self, clinic: ClinicId) -> ClinicStaff:
        """The staff of a clinic. Raises StoreUnavailable."""
        now, drops = self._monotonic_clock(), self._drops[clinic]
        if (cached := self._staff.get(clinic)) and now - cached[0] < MAX_AGE_SECONDS:
            return cached[1]
        staff = await self._source.find(clinic)
        if drops == self._drops[clinic]:  # otherwise it may have been read before the change that dropped it
            self._staff[clinic] = now, staff
        return staff

    def drop(self, clinic_ids: Iterable[UUID]) -> None:
        """Forget the staff of clinics that this process has changed."""
        for clinic_id in clinic_ids:
            self._drops[clinic_id] += 1
            self._staff.pop(clinic_id, None)
