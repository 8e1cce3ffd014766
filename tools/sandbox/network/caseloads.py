"""Reads whole caseloads, which alliance returns in pages."""

from typing import Any
from uuid import UUID

from tools.sandbox.network.clinic_systems import ClinicSystems


async def read_caseload(clinic_systems: ClinicSystems, clinic: UUID) -> list[Any]:
    """The relationships of a clinic with their alliances. Raises RequestFailed."""
    views: list[Any] = []
    page: int | None = 1
    lead = clinic_systems.credentials.person(clinic, "supervisor")
    while page is not None:
        answer = await clinic_systems.get("alliance", f"/clinics/{clinic}/relationships?page={page}", lead)
        views += answer["relationships"]
        page = answer["next_page"]
    return views
