"""The HTTP API: the current alliance and the reasons for it, its course, and caseloads in order of concern."""

from collections.abc import Sequence
from uuid import UUID

from fastapi import APIRouter

from services.alliance.http.views import Caseload, RelationshipView, Trajectory
from services.alliance.service import AllianceService
from services.alliance.store.protocol import VersionedState
from shared.http.query_parameters import PageNumber


def routes(service: AllianceService) -> APIRouter:
    """The read API; it changes nothing."""
    router = APIRouter(tags=["alliance"])

    @router.get("/relationships/{relationship_id}")
    async def relationship(relationship_id: UUID) -> RelationshipView:
        """The current alliance, and the reasons for it."""
        state = await service.get_state(None, relationship_id)
        return (await _views(service, [state]))[0]

    @router.get("/relationships/{relationship_id}/trajectory")
    async def trajectory(relationship_id: UUID, with_predecessors: bool = False, page: PageNumber = 1) -> Trajectory:
        """The course of the alliance, 500 points on a page, the oldest first.

        After a transfer, optionally that with the previous clinicians as well. Two are computed at a time; beyond that
        the response is 503 with `Retry-After`.
        """
        pages = await service.get_trajectories(None, relationship_id, with_predecessors, page)
        latest, *predecessors = [Trajectory.from_page(r, found, page) for r, found in pages.items()]
        return latest.model_copy(update={"predecessors": predecessors})

    @router.get("/clinics/{clinic_id}/relationships")
    async def clinic(clinic_id: UUID, page: PageNumber = 1) -> Caseload:
        """A clinic's relationships, those of most concern first, 100 on a page."""
        return await _caseload("clinic", clinic_id, page)

    @router.get("/clinicians/{clinician_id}/relationships")
    async def clinician(clinician_id: UUID, page: PageNumber = 1) -> Caseload:
        """A clinician's relationships, those of most concern first, 100 on a page."""
        return await _caseload("clinician", clinician_id, page)

    async def _caseload(owner_type: str, owner_id: UUID, page: int) -> Caseload:
        found = await service.list_caseload(None, owner_type, owner_id, page)
        return Caseload(
            relationships=await _views(service, found.states),
            next_page=page + 1 if found.has_next else None,
        )

    return router


async def _views(service: AllianceService, states: Sequence[VersionedState]) -> list[RelationshipView]:
    dispositions = await service.list_dispositions([state.relationship for state in states])
    return [
        RelationshipView.from_versioned(state, service.policy_of_state(state), dispositions[state.relationship])
        for state in states
    ]
