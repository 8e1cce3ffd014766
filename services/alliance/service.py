"""The use cases of the read API: one relationship, its course, and caseloads. Nothing here changes anything."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.store.protocol import Store, VersionedState
from shared.errors import NotFound
from shared.events import RelationshipStarted

MAX_CASELOAD_SIZE = 1000
"""Relationships in one list."""
MAX_PREDECESSORS = 10
"""Transfers that are followed back."""


class AllianceService:
    """Answers what is known of relationships, each with the policy of its clinic."""

    def __init__(self, store: Store, policies: Policies) -> None:
        self._store = store
        self._policies = policies

    async def get_state(self, relationship_id: UUID) -> VersionedState:
        """The alliance as it is now. Raises NotFound where nothing is known of it, or the client was erased."""
        state = (await self._store.load([relationship_id]))[relationship_id]
        if state.alliance.last_event_key is None or state.alliance.erasure_id is not None:
            raise _not_found(relationship_id)
        return state

    async def get_histories(
        self, relationship_id: UUID, with_predecessors: bool
    ) -> Mapping[UUID, Sequence[HistoryEvent]]:
        """The events of a relationship, and of those before its transfers, the latest first. Raises NotFound."""
        limit = 1 + MAX_PREDECESSORS if with_predecessors else 1
        histories: dict[UUID, Sequence[HistoryEvent]] = {}
        current: UUID | None = relationship_id
        while current is not None and current not in histories and len(histories) < limit:
            events = (await self._store.history([current]))[current]
            if not events:
                break
            histories[current] = events
            current = next((event.predecessor_id for event in events if isinstance(event, RelationshipStarted)), None)
        if not histories:
            raise _not_found(relationship_id)
        return histories

    async def list_caseload(self, owner_type: str, owner_id: UUID) -> Sequence[VersionedState]:
        """The relationships of a clinic or a clinician, those of most concern first."""
        return await self._store.caseload(owner_type, owner_id, MAX_CASELOAD_SIZE)

    def policy_of_state(self, state: VersionedState) -> Policy:
        return self._policies.policy_for(state.alliance.clinic_id)

    def policy_of_history(self, events: Sequence[HistoryEvent]) -> Policy:
        return self._policies.policy_for(clinic_of(events))


def _not_found(relationship_id: UUID) -> NotFound:
    return NotFound(
        "unknown-relationship",
        f"relationship {relationship_id} was not found; its events may not have arrived yet",
    )
