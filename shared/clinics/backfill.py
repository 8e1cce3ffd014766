"""Fills in the clinics of documents that an older version stored without one.

First the relationships: their clinics are in the topic of intake. Then the documents that have the clinic of another
one: sessions and alerts that of their relationship, messages that of their alert. Every step is idempotent and
independent of what runs meanwhile, so any number of processes may do it, and a new one continues what a crash left.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from shared.access.clinic_id import ClinicId
from shared.events import Event

log = structlog.get_logger()

PAGE_SIZE = 1_000
"""Documents that are filled in together."""
BACKFILL_INTERVAL_SECONDS = 60.0
"""While a new version is rolled out, processes of the old one still write documents without a clinic."""


@dataclass(frozen=True)
class UnknownClinics:
    """How many documents have no clinic yet, which is why no request sees them."""

    on_topic: int
    """Relationships and clinicians, whose clinics are in the events of intake."""
    following: int
    """Documents that have the clinic of their relationship."""

    @property
    def total(self) -> int:
        return self.on_topic + self.following


class ClinicStore(Protocol):
    """Documents that have the clinic of another one. Every method is idempotent and raises StoreUnavailable."""

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next ids of what the documents without a clinic belong to, sorted; none only at the end."""

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        """Give the documents without a clinic that of what they belong to."""


@dataclass(frozen=True)
class Following:
    """Documents that have the clinic of others, and how that is found."""

    store: ClinicStore
    find_clinics: Callable[[Sequence[UUID]], Awaitable[Mapping[UUID, ClinicId]]]
    """The clinics that are known, by id."""


@dataclass(frozen=True)
class ClinicBackfill:
    """Fills in what is unknown and can be known, and reports what is still unknown."""

    count: Callable[[], Awaitable[UnknownClinics]]
    read_history: Callable[[], AsyncIterator[Sequence[Event]]]
    """The events of intake that say the clinics."""
    fold: Callable[[Sequence[Event]], Awaitable[None]]
    """Folds such events into the relationships and clinicians, as their handler does."""
    following: Sequence[Following]
    """In the order in which the clinics get known."""
    set_unknown: Callable[[int], None]

    async def run(self) -> None:
        """Fill in everything that can be known now. Raises StoreUnavailable and BrokerUnavailable."""
        before = await self.count()
        self.set_unknown(before.total)
        if before.on_topic:
            async for events in self.read_history():
                await self.fold(events)
        for following in self.following:
            await _fill_in(following)
        if before.total:
            after = await self.count()
            self.set_unknown(after.total)
            if after != before:
                log.info("Clinics filled in", unknown_before=before.total, unknown=after.total)


async def _fill_in(following: Following) -> None:
    after: UUID | None = None
    while page := await following.store.list_unknown_clinics(after, PAGE_SIZE):
        after = page[-1]
        await following.store.fill_in_clinics(await following.find_clinics(page))
