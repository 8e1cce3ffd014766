"""The HTTP API: the current alliance and the reasons for it, its course, and caseloads in order of concern."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter

from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.presentation.trajectory import point_for
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.http.views import Caseload, RelationshipView, Trajectory
from services.alliance.store.mongo import Store
from shared.errors import NotFound
from shared.events import RelationshipStarted

MAX_CASELOAD_SIZE = 1000
"""Relationships in one list."""
MAX_PREDECESSORS = 10
"""Transfers that are followed back."""


def routes(store: Store, policies: Policies) -> APIRouter:
    """The read API; it changes nothing."""
    router = APIRouter(tags=["alliance"])

    @router.get("/relationships/{relationship_id}")
    async def relationship(relationship_id: UUID) -> RelationshipView:
        """The current alliance, and the reasons for it."""
        state = (await store.load([relationship_id]))[relationship_id]
        if state.alliance.last_event_key is None or state.alliance.erasure_id is not None:
            raise _not_found(relationship_id)
        return RelationshipView.from_versioned(state, policies.policy_for(state.alliance.clinic_id))

    @router.get("/relationships/{relationship_id}/trajectory")
    async def trajectory(relationship_id: UUID, with_predecessors: bool = False) -> Trajectory:
        """The course of the alliance; after a transfer, optionally that with the previous clinicians as well."""
        histories = await _load_with_predecessors(relationship_id, 1 + MAX_PREDECESSORS if with_predecessors else 1)
        if not histories:
            raise _not_found(relationship_id)
        this, *predecessors = [
            _trajectory(r, events, policies.policy_for(clinic_of(events))) for r, events in histories.items()
        ]
        return this.model_copy(update={"predecessors": predecessors})

    @router.get("/clinics/{clinic_id}/relationships")
    async def clinic(clinic_id: UUID) -> Caseload:
        """A clinic's relationships, those of most concern first."""
        return await _caseload("clinic", clinic_id)

    @router.get("/clinicians/{clinician_id}/relationships")
    async def clinician(clinician_id: UUID) -> Caseload:
        """A clinician's relationships, those of most concern first."""
        return await _caseload("clinician", clinician_id)

    async def _load_with_predecessors(relationship_id: UUID, limit: int) -> dict[UUID, Sequence[HistoryEvent]]:
        """The events of a relationship and of its known predecessors, the latest relationship first."""
        histories: dict[UUID, Sequence[HistoryEvent]] = {}
        current: UUID | None = relationship_id
        while current is not None and current not in histories and len(histories) < limit:
            events = (await store.history([current]))[current]
            if not events:
                break
            histories[current] = events
            current = next((event.predecessor_id for event in events if isinstance(event, RelationshipStarted)), None)
        return histories

    async def _caseload(owner_type: str, owner_id: UUID) -> Caseload:
        states = await store.caseload(owner_type, owner_id, MAX_CASELOAD_SIZE)
        return Caseload(
            relationships=[
                RelationshipView.from_versioned(state, policies.policy_for(state.alliance.clinic_id))
                for state in states
            ]
        )

    return router


def _trajectory(relationship_id: UUID, events: Sequence[HistoryEvent], policy: Policy) -> Trajectory:
    points = (point_for(event, before, policy) for event, before, _ in fold_steps(events, policy))
    return Trajectory(relationship_id=relationship_id, points=[p for p in points if p is not None])


def _not_found(relationship_id: UUID) -> NotFound:
    return NotFound(
        "unknown-relationship",
        f"relationship {relationship_id} was not found; its events may not have arrived yet",
    )
