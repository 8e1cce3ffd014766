"""The JSON API for the administrators of a clinic: who works there, in which roles, and for whom."""

from typing import Annotated, get_args
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, ConfigDict, Field

from services.intake.domain.staff import MAX_PERIODS, Assignment
from services.intake.http.views import DeputiesView, InvitationView, LeadView, PersonView, SupervisorsView
from services.intake.service.staff import StaffService
from shared.access.clinic_id import ClinicId
from shared.events import AssignedRole, DeputyPeriod, SupervisorPeriod
from shared.http.request_body import RequestBody, RequestedTime


def _check_unique(roles: tuple[AssignedRole, ...]) -> tuple[AssignedRole, ...]:
    if len(set(roles)) < len(roles):
        raise ValueError("names a role twice")
    return roles


Roles = Annotated[
    tuple[AssignedRole, ...],
    Field(min_length=1, max_length=len(get_args(AssignedRole)), json_schema_extra={"uniqueItems": True}),
    AfterValidator(_check_unique),
]


class PersonBody(RequestBody):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "anyOf": [
                {"required": ["clinician_id"], "properties": {"clinician_id": {"type": "string"}}},
                {"properties": {"roles": {"not": {"contains": {"const": "clinician"}}}}},
            ]
        },
    )

    roles: Roles
    clinician_id: UUID | None = None
    """The clinician that the person is; required in the role clinician."""


class DeputyBody(RequestBody):
    person_id: UUID
    from_at: RequestedTime
    until_at: RequestedTime


class DeputiesBody(RequestBody):
    deputies: Annotated[list[DeputyBody], Field(max_length=MAX_PERIODS)]
    """All of them: those who are left out are no deputies any more."""


class SupervisorBody(RequestBody):
    person_id: UUID
    from_at: RequestedTime
    until_at: RequestedTime | None = None
    """Null if no end is agreed."""


class SupervisorsBody(RequestBody):
    supervisors: Annotated[list[SupervisorBody], Field(max_length=MAX_PERIODS)]
    """All of them: those who are left out do not supervise the clinician any more."""


class LeadBody(RequestBody):
    person_id: UUID | None
    """A supervisor, who supervises the whole clinic; null if nobody does."""


def staff_routes(service: StaffService, public_url: str) -> APIRouter:
    """The routes of a clinic's staff. Invitations are links to `public_url`."""
    router = APIRouter(prefix="/clinics/{clinic_id}", tags=["staff"])
    router.include_router(_people_routes(service, public_url))
    router.include_router(_assignment_routes(service))
    return router


def _people_routes(service: StaffService, public_url: str) -> APIRouter:
    router = APIRouter(prefix="/people/{person_id}")

    @router.put("")
    async def save_person(clinic_id: ClinicId, person_id: UUID, body: PersonBody) -> PersonView:
        """Add a person to the staff under an id that you choose, or change the roles."""
        person = await service.save_person(clinic_id, Assignment(person_id, body.roles, body.clinician_id))
        return PersonView.model_validate(person.model_dump())

    @router.delete("", status_code=204, response_class=Response)
    async def remove_person(clinic_id: ClinicId, person_id: UUID) -> None:
        """Remove a person from the staff, who is signed out everywhere. The last administrator cannot be removed."""
        await service.remove_person(clinic_id, person_id)

    @router.put("/invitation")
    async def invite_person(clinic_id: ClinicId, person_id: UUID) -> InvitationView:
        """Create a link with which the person can sign in for the first time.

        It works once, and for seven days. Only this answer contains it, and it ends the link before.
        """
        issued = await service.invite(clinic_id, person_id)
        link = f"{public_url}/invitations/{issued.token}"
        return InvitationView(person_id=person_id, link=link, expires_at=issued.expires_at)

    return router


def _assignment_routes(service: StaffService) -> APIRouter:
    router = APIRouter()

    @router.put("/clinicians/{clinician_id}/deputies")
    async def save_deputies(clinic_id: ClinicId, clinician_id: UUID, body: DeputiesBody) -> DeputiesView:
        """Replace the deputies of a clinician."""
        periods = [DeputyPeriod(**dict(deputy)) for deputy in body.deputies]
        deputies = await service.save_deputies(clinic_id, clinician_id, periods)
        return DeputiesView(clinician_id=clinician_id, deputies=deputies)

    @router.put("/clinicians/{clinician_id}/supervisors")
    async def save_supervisors(clinic_id: ClinicId, clinician_id: UUID, body: SupervisorsBody) -> SupervisorsView:
        """Replace the supervisors of a clinician. A clinician without one is supervised by the lead of the clinic."""
        periods = [SupervisorPeriod(**dict(supervisor)) for supervisor in body.supervisors]
        supervisors = await service.save_supervisors(clinic_id, clinician_id, periods)
        return SupervisorsView(clinician_id=clinician_id, supervisors=supervisors)

    @router.put("/lead")
    async def save_lead(clinic_id: ClinicId, body: LeadBody) -> LeadView:
        """Make a supervisor the lead of the clinic, in place of the lead before."""
        await service.save_lead(clinic_id, body.person_id)
        return LeadView(clinic_id=clinic_id, person_id=body.person_id)

    return router
