"""Builds the events about the staff of a clinic."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from shared.events.staff import (
    AssignedRole,
    DeputiesUpdated,
    DeputyPeriod,
    LeadUpdated,
    StaffUpdated,
    SupervisorPeriod,
    SupervisorsUpdated,
)

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
CLINIC, OTHER_CLINIC = UUID(int=0xC1), UUID(int=0xC2)
ANNA, BEN, CARLA = (UUID(int=0x9A + number) for number in range(3))
"""People."""
ANNAS, BENS = UUID(int=0xDA), UUID(int=0xDB)
"""The clinicians that Anna and Ben are."""


def staff_updated(person_id: UUID, *roles: AssignedRole, **overrides: Any) -> StaffUpdated:
    """A record of a person; Anna and Ben are clinicians if that is among their roles."""
    clinicians: Mapping[UUID, UUID] = {ANNA: ANNAS, BEN: BENS}
    clinician_id = clinicians.get(person_id) if "clinician" in roles else None
    return StaffUpdated(**_fields(overrides, person_id=person_id, roles=roles, clinician_id=clinician_id))


def removed(person_id: UUID, clinician_id: UUID | None = None, **overrides: Any) -> StaffUpdated:
    """A removal that still names roles: they must not count."""
    fields = {"person_id": person_id, "roles": ("clinician", "supervisor"), "clinician_id": clinician_id}
    return StaffUpdated(**_fields(overrides, **fields, is_removed=True))


def deputies_updated(clinician_id: UUID, *deputies: DeputyPeriod, **overrides: Any) -> DeputiesUpdated:
    return DeputiesUpdated(**_fields(overrides, clinician_id=clinician_id, deputies=deputies))


def supervisors_updated(clinician_id: UUID, *supervisors: SupervisorPeriod, **overrides: Any) -> SupervisorsUpdated:
    return SupervisorsUpdated(**_fields(overrides, clinician_id=clinician_id, supervisors=supervisors))


def lead_updated(person_id: UUID | None, **overrides: Any) -> LeadUpdated:
    return LeadUpdated(**_fields(overrides, person_id=person_id))


def deputy(person_id: UUID, days: int = 14) -> DeputyPeriod:
    """Stands in from START on."""
    return DeputyPeriod(person_id=person_id, from_at=START, until_at=START + days * DAY)


def supervisor(person_id: UUID, days: int | None = None) -> SupervisorPeriod:
    """Supervises from START on."""
    return SupervisorPeriod(person_id=person_id, from_at=START, until_at=None if days is None else START + days * DAY)


def _fields(overrides: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """With an id that follows from the content, because two events never have the same id."""
    fields = {"clinic_id": CLINIC, "occurred_at": START, **fields, **overrides}
    return {"id": uuid5(CLINIC, repr(fields)), **fields}
