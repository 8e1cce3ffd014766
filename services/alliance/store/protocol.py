"""What alliance must remember: events, one state per relationship, and dispositions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from uuid import UUID

from services.alliance.domain.fold import FoldResult
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.dispositions import Disposition, Reopening
from shared.access.clinic_id import ClinicId
from shared.events import Severity
from shared.events.model import SEVERITY_RANK

CONCERN_RANK: dict[Severity | None, int] = {None: 0, **{s: 1 + rank for s, rank in SEVERITY_RANK.items()}}
"""The rank in a caseload by the severity of the open episode; None if there is none."""
INACTIVE_CONCERN_RANK = -1
"""Rank of relationships that ended or have no consent: they are last in a caseload."""
UNRATED_LEVEL = 101
"""Level of relationships without a rating: they come after every rated one."""


@dataclass(frozen=True, slots=True)
class VersionedState:
    """The alliance of one relationship, with the version at which it was read."""

    relationship: UUID
    result: FoldResult = field(default_factory=partial(FoldResult, Alliance()))
    version: int = 0

    @property
    def alliance(self) -> Alliance:
        return self.result.alliance

    def advance(self, result: FoldResult) -> "VersionedState":
        """The next version, which can be saved only while this one is the latest; the same one if nothing changed."""
        is_same = result == self.result and result.retrospective == self.result.retrospective
        return VersionedState(self.relationship, result, self.version if self.version and is_same else self.version + 1)


class Store(Protocol):
    """Stores the events and the state of every relationship. Every method is idempotent and raises StoreUnavailable.

    What serves a request takes its clinic first: what belongs to another clinic, or to one that is not known yet, is as
    if it did not exist. None means every clinic. What serves a batch of events is about relationships of all clinics.
    """

    async def append(self, events: Sequence[HistoryEvent]) -> set[UUID]:
        """Store each event once, however often it is delivered; if with several contents, the one that counts.

        Returns the relationships of events that were known already: what counts of them may not be what was given, so
        they must be folded from their histories. Among them is one that lost an event because another one claims it.
        """

    async def load(self, relationships: Collection[UUID]) -> Mapping[UUID, VersionedState]:
        """The latest state of each; an empty one at version 0 if there is none."""

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[HistoryEvent]]:
        """Every known event of each, unordered."""

    async def save(self, states: Sequence[VersionedState]) -> set[UUID]:
        """Write each as a whole, guarded by its version; return the relationships that were changed concurrently."""

    async def erase(self, erasures: Mapping[UUID, UUID]) -> None:
        """Delete everything about these relationships, except their states and the event that erased the client."""

    async def find(self, clinic: ClinicId | None, relationship: UUID) -> VersionedState | None:
        """The latest state of the relationship, or None."""

    async def find_history(self, clinic: ClinicId | None, relationship: UUID) -> list[HistoryEvent]:
        """Every known event of the relationship, unordered."""

    async def caseload(
        self, clinic: ClinicId | None, owner_type: str, owner_id: UUID, limit: int, skip: int = 0
    ) -> list[VersionedState]:
        """The relationships of a clinic (`owner_type` = `clinic`) or of a clinician, those of most concern first.

        Up to `limit` of them, after the first `skip`.
        """

    async def record_dispositions(self, dispositions: Sequence[Disposition]) -> list[Disposition]:
        """Store each once, as first delivered; return the new ones."""

    async def dispositions(self, relationships: Collection[UUID]) -> list[Disposition]:
        """The dispositions of the alerts of these relationships, with those that were taken back."""

    async def record_reopenings(self, reopenings: Sequence[Reopening]) -> list[Reopening]:
        """Store each once, as first delivered; return the new ones."""

    async def reopenings(self, relationships: Collection[UUID]) -> list[Reopening]:
        """The reopenings of the alerts of these relationships."""

    async def count(self, clinic: ClinicId | None) -> int:
        """The number of relationships in the clinic, or in all clinics."""

    async def page(self, clinic: ClinicId | None, after: UUID | None, limit: int) -> list[UUID]:
        """The next of these relationships, in the order of their ids."""


def concern_rank(alliance: Alliance) -> int:
    """The first sort key of a caseload, descending."""
    if alliance.ended_at is not None or not alliance.has_consent:
        return INACTIVE_CONCERN_RANK
    return CONCERN_RANK[alliance.open_episode.severity if alliance.open_episode else None]


def caseload_level(alliance: Alliance) -> float:
    """The second sort key of a caseload, ascending."""
    return UNRATED_LEVEL if alliance.client.rolling_score is None else alliance.client.rolling_score
