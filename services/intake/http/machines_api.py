"""The JSON API for the machines of a clinic: its own systems, which bring tokens of the issuer."""

from typing import Annotated, get_args
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field, StringConstraints

from services.intake.http.views import MachineView
from shared.access.clinic_id import ClinicId
from shared.access.roles import Scope
from shared.http.request_body import RequestBody, reject_invisible_characters
from shared.identity.machines import Machines


def _check_unique(scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("names a scope twice")
    return scopes


class MachineBody(RequestBody):
    client_id: Annotated[
        str, StringConstraints(min_length=1, max_length=200), AfterValidator(reject_invisible_characters)
    ]
    """The client id with which the machine gets its tokens at the issuer."""
    scopes: Annotated[
        tuple[Scope, ...],
        Field(min_length=1, max_length=len(get_args(Scope)), json_schema_extra={"uniqueItems": True}),
        AfterValidator(_check_unique),
    ]
    """What the machine may do, whatever its tokens say."""


def machine_routes(machines: Machines) -> APIRouter:
    """The routes of a clinic's machines."""
    router = APIRouter(prefix="/clinics/{clinic_id}/machines/{machine_id}", tags=["machines"])

    @router.put("")
    async def save_machine(clinic_id: ClinicId, machine_id: UUID, body: MachineBody) -> MachineView:
        """Add a machine under an id that you choose, or change it. One that was revoked works again."""
        machine = await machines.save(clinic_id, machine_id, body.client_id, body.scopes)
        scopes = tuple(scope for scope in get_args(Scope) if scope in machine.scopes)
        return MachineView(machine_id=machine_id, clinic_id=clinic_id, client_id=machine.client_id, scopes=scopes)

    @router.delete("", status_code=204, response_class=Response)
    async def revoke_machine(clinic_id: ClinicId, machine_id: UUID) -> None:
        """Revoke a machine: its tokens are not accepted any more, within a minute in every service."""
        await machines.revoke(clinic_id, machine_id)

    return router
