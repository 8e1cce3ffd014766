"""What we answer about alliances: how each is now and why, how it came to be so, and who needs somebody."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter

from services.alliance.domain.fold import states
from services.alliance.domain.policy.policy import Policies, Policy
from services.alliance.domain.presentation.trajectory import point
from services.alliance.domain.state.history import Fact, clinic_of
from services.alliance.http.views import Caseload, RelationshipView, Trajectory
from services.alliance.store.mongo import Store
from shared.errors import Unknown
from shared.events import RelationshipStarted

MOST = 1000
"""The most relationships in one list."""
PREDECESSORS = 10
"""The most transfers that are followed back."""


def routes(store: Store, policies: Policies) -> APIRouter:
    """The read API; nothing here changes anything."""
    router = APIRouter(tags=["alliance"])

    @router.get("/relationships/{relationship_id}")
    async def relationship(relationship_id: UUID) -> RelationshipView:
        """The alliance as it is now, and why."""
        state = (await store.recall([relationship_id]))[relationship_id]
        if state.alliance.last is None or state.alliance.erasure is not None:
            raise _unknown(relationship_id)
        return RelationshipView.of(state, policies.of(state.alliance.clinic_id))

    @router.get("/relationships/{relationship_id}/trajectory")
    async def trajectory(relationship_id: UUID, with_predecessors: bool = False) -> Trajectory:
        """How it came to be so; after a transfer, how it was with the clinicians before as well."""
        histories = await _followed_back(relationship_id, 1 + PREDECESSORS if with_predecessors else 1)
        if not histories:
            raise _unknown(relationship_id)
        this, *predecessors = [
            _trajectory(r, events, policies.of(clinic_of(events))) for r, events in histories.items()
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

    async def _followed_back(relationship_id: UUID, most: int) -> dict[UUID, Sequence[Fact]]:
        """The facts of a relationship and of those before it, as far as they are known, the latest first."""
        histories: dict[UUID, Sequence[Fact]] = {}
        current: UUID | None = relationship_id
        while current is not None and current not in histories and len(histories) < most:
            events = (await store.history([current]))[current]
            if not events:
                break
            histories[current] = events
            current = next((event.predecessor_id for event in events if isinstance(event, RelationshipStarted)), None)
        return histories

    async def _caseload(by: str, whose: UUID) -> Caseload:
        kept = await store.caseload(by, whose, MOST)
        return Caseload(
            relationships=[RelationshipView.of(state, policies.of(state.alliance.clinic_id)) for state in kept]
        )

    return router


def _trajectory(relationship_id: UUID, facts: Sequence[Fact], policy: Policy) -> Trajectory:
    points = (point(event, before, policy) for event, before, _ in states(facts, policy))
    return Trajectory(relationship_id=relationship_id, points=[p for p in points if p is not None])


def _unknown(relationship_id: UUID) -> Unknown:
    return Unknown("unknown-relationship", f"nothing is known of relationship {relationship_id}; it may be on its way")
