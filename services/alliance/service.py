"""The use cases of the read API: one relationship, its course, and caseloads. Nothing here changes anything."""

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.presentation.trajectory import TrajectoryPage, trajectory_page
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.domain.tuning.dispositions import Disposition, list_counting
from services.alliance.store.protocol import Store, VersionedState
from shared.access.clinic_id import ClinicId
from shared.errors import Busy, NotFound
from shared.events import RelationshipStarted

CASELOAD_PAGE_SIZE = 100
"""Relationships on one page: they are rendered on the event loop, in some 60 ms."""
MAX_CONCURRENT_TRAJECTORIES = 2
"""Each folds whole histories in a thread, which takes processor time from the consumer."""
MAX_PREDECESSORS = 10
"""Transfers that are followed back."""


@dataclass(frozen=True, slots=True)
class CaseloadPage:
    """A page of a caseload."""

    states: Sequence[VersionedState]
    has_next: bool


class AllianceService:
    """Answers what is known of relationships, each with the policy of its clinic.

    A request is confined to its clinic: what belongs to another one is as if it did not exist. None means every clinic.
    """

    def __init__(self, store: Store, policies: Policies) -> None:
        self._store = store
        self._policies = policies
        self._trajectory_slots = asyncio.Semaphore(MAX_CONCURRENT_TRAJECTORIES)

    async def get_state(self, clinic: ClinicId | None, relationship_id: UUID) -> VersionedState:
        """The alliance as it is now. Raises NotFound where nothing is known of it, or the client was erased."""
        state = await self._store.find(clinic, relationship_id)
        if state is None or state.alliance.last_event_key is None or state.alliance.erasure_id is not None:
            raise _not_found(relationship_id)
        return state

    async def get_trajectories(
        self, clinic: ClinicId | None, relationship_id: UUID, with_predecessors: bool, page: int
    ) -> Mapping[UUID, TrajectoryPage]:
        """A page of the trajectory, and the same page of those before its transfers, the latest first.

        Raises NotFound, and Busy if the maximum number is being computed.
        """
        if self._trajectory_slots.locked():
            raise Busy(f"This process is already computing {MAX_CONCURRENT_TRAJECTORIES} trajectories.")
        async with self._trajectory_slots:
            histories = await self._load_histories(clinic, relationship_id, with_predecessors)
            stopped = threading.Event()
            try:  # in a thread, because a long history would block the event loop, and with it the consumer
                return await asyncio.to_thread(self._fold_pages, histories, page, stopped.is_set)
            finally:  # a request that is cut short by a shutdown does not hold it up
                stopped.set()

    def _fold_pages(
        self, histories: Mapping[UUID, Sequence[HistoryEvent]], page: int, is_stopped: Callable[[], bool]
    ) -> dict[UUID, TrajectoryPage]:
        return {
            relationship: trajectory_page(events, self._policies.policy_for(clinic_of(events)), page, is_stopped)
            for relationship, events in histories.items()
        }

    async def _load_histories(
        self, clinic: ClinicId | None, relationship_id: UUID, with_predecessors: bool
    ) -> dict[UUID, Sequence[HistoryEvent]]:
        """The events of a relationship, and of those before its transfers, the latest first. Raises NotFound."""
        limit = 1 + MAX_PREDECESSORS if with_predecessors else 1
        histories: dict[UUID, Sequence[HistoryEvent]] = {}
        current: UUID | None = relationship_id
        while current is not None and current not in histories and len(histories) < limit:
            events = await self._store.find_history(clinic, current)
            if not events:
                break
            histories[current] = events
            current = next((event.predecessor_id for event in events if isinstance(event, RelationshipStarted)), None)
        if not histories:
            raise _not_found(relationship_id)
        return histories

    async def list_caseload(self, clinic: ClinicId | None, owner_type: str, owner_id: UUID, page: int) -> CaseloadPage:
        """A page of the relationships of a clinic or a clinician, from 1, those of most concern first."""
        start = (page - 1) * CASELOAD_PAGE_SIZE
        states = await self._store.caseload(clinic, owner_type, owner_id, CASELOAD_PAGE_SIZE + 1, start)
        return CaseloadPage(states[:CASELOAD_PAGE_SIZE], len(states) > CASELOAD_PAGE_SIZE)

    async def list_dispositions(self, relationships: Collection[UUID]) -> Mapping[UUID, Sequence[Disposition]]:
        """What clinicians decided about the alerts of each, and did not take back; the latest first.

        The relationships are some that the request has loaded from its clinic.
        """
        dispositions = await self._store.dispositions(relationships)
        by_relationship: dict[UUID, list[Disposition]] = {r: [] for r in relationships}
        for disposition in list_counting(dispositions, await self._store.reopenings(relationships)):
            by_relationship[disposition.relationship].append(disposition)
        return by_relationship

    def policy_of_state(self, state: VersionedState) -> Policy:
        return self._policies.policy_for(state.alliance.clinic_id)


def _not_found(relationship_id: UUID) -> NotFound:
    return NotFound(
        "unknown-relationship",
        f"relationship {relationship_id} was not found; its events may not have arrived yet",
    )
