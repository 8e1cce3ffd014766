"""The HTTP API: the current alliance and the reasons for it, its course, and caseloads in order of concern."""

from uuid import UUID

from fastapi import APIRouter

from services.alliance.http.views import Caseload, RelationshipView, Trajectory
from services.alliance.service import AllianceService


def routes(service: AllianceService) -> APIRouter:
    """The read API; it changes nothing."""
    router = APIRouter(tags=["alliance"])

    @router.get("/relationships/{relationship_id}")
    async def relationship(relationship_id: UUID) -> RelationshipView:
        """The current alliance, and the reasons for it."""
        state = await service.get_state(relationship_id)
        return RelationshipView.from_versioned(state, service.policy_of_state(state))

    @router.get("/relationships/{relationship_id}/trajectory")
    async def trajectory(relationship_id: UUID, with_predecessors: bool = False) -> Trajectory:
        """The course of the alliance; after a transfer, optionally that with the previous clinicians as well."""
        histories = await service.get_histories(relationship_id, with_predecessors)
        latest, *predecessors = [
            Trajectory.from_history(r, events, service.policy_of_history(events)) for r, events in histories.items()
        ]
        return latest.model_copy(update={"predecessors": predecessors})

    @router.get("/clinics/{clinic_id}/relationships")
    async def clinic(clinic_id: UUID) -> Caseload:
        """A clinic's relationships, those of most concern first."""
        return await _caseload("clinic", clinic_id)

    @router.get("/clinicians/{clinician_id}/relationships")
    async def clinician(clinician_id: UUID) -> Caseload:
        """A clinician's relationships, those of most concern first."""
        return await _caseload("clinician", clinician_id)

    async def _caseload(owner_type: str, owner_id: UUID) -> Caseload:
        states = await service.list_caseload(owner_type, owner_id)
        return Caseload(relationships=[RelationshipView.from_versioned(s, service.policy_of_state(s)) for s in states])

    return router
