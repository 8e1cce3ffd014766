"""What sessions must remember: sessions, and what is known of their relationships and clinics."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.sessions.domain.clinic import Clinic
from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Decision, Session
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.events import ClinicUpdated, Event
from shared.outbox.documents import ClinicDocuments, Versioned

LAPSE_BATCH_SIZE = 500
"""The maximum number of sessions that the timer lapses in one round trip."""


class Store(Protocol):
    """Stores sessions and relationships. Every write is atomic for one of them.

    What serves a request takes its clinic first: what belongs to another clinic, or to one that is not known yet, is as
    if it did not exist. None means every clinic.

    Every method raises StoreUnavailable; then it is unknown whether it wrote. It is idempotent if what is decided is.
    """

    @property
    def sessions(self) -> ClinicDocuments[Session]:
        """The sessions by id."""

    async def find_by_link(self, link_hash: str) -> Versioned[Session] | None:
        """The session of a link, or None. It says the clinic: the link is the key, whoever asks."""

    async def count_sessions(self, clinic: ClinicId | None, relationship_id: UUID, limit: int) -> int:
        """The number of sessions of a relationship, counted up to `limit`."""

    async def find_relationship(self, clinic: ClinicId | None, relationship_id: UUID) -> Relationship | None:
        """The relationship, or None."""

    async def load_relationships(self, ids: Iterable[UUID]) -> dict[UUID, Relationship]:
        """The relationships that are known, by id."""

    async def update_relationships(
        self, ids: Iterable[UUID], decide: Callable[[Relationship], Relationship]
    ) -> dict[UUID, Relationship]:
        """Write what `decide` makes of each relationship, at first an empty one, and return them by id.

        After a concurrent write, `decide` is called again.
        """

    async def find_clinic(self, clinic: ClinicId) -> Clinic | None:
        """The clinic, or None."""

    async def save_clinics(self, events: Sequence[ClinicUpdated]) -> None:
        """Write what the newest event about each clinic says, unless a newer one was written before."""

    async def server_time(self) -> datetime:
        """The time of the store, so that a process whose clock is ahead lapses nothing early."""

    async def find_overdue(self, now: datetime) -> list[Versioned[Session]]:
        """Up to LAPSE_BATCH_SIZE sessions with an overdue request, the oldest first."""

    async def save_decisions(
        self, loaded: Sequence[Versioned[Session]], decide: Callable[[Session], Decision]
    ) -> list[Event]:
        """Decide on loaded sessions, and write each with its events if it did not change since it was loaded.

        Returns the events of the written sessions; the others are found again.
        """

    async def erase_sessions(self, ids: Iterable[UUID]) -> None:
        """Delete every session of the relationships `ids`, with all answers and pending events."""

    async def count_unknown_clinics(self) -> UnknownClinics:
        """How many relationships and sessions have no clinic yet, without relationships of erased clients."""

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next relationships, sorted, of sessions without a clinic; none only at the end."""

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        """Give the sessions without a clinic that of their relationship."""
