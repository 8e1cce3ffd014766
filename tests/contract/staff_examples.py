"""Examples of events about who works at a clinic, each with all fields and with the required fields only."""

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

from shared.events import Event
from shared.events.staff import (
    AssignedRole,
    DeputiesUpdated,
    DeputyPeriod,
    LeadUpdated,
    StaffUpdated,
    SupervisorPeriod,
    SupervisorsUpdated,
)

_AT, _LATER = datetime(2026, 1, 8, 10, tzinfo=UTC), datetime(2026, 1, 22, 10, tzinfo=UTC)
_PERSON, _CLINICIAN = UUID(int=0x11), UUID(int=0x12)
_OF_CLINIC: Any = {"occurred_at": _AT, "clinic_id": UUID(int=0x10)}

STAFF_EXAMPLES: tuple[Event, ...] = (
    StaffUpdated(
        id=UUID(int=0x13),
        **_OF_CLINIC,
        person_id=_PERSON,
        roles=get_args(AssignedRole),
        clinician_id=_CLINICIAN,
        is_removed=True,
    ),
    StaffUpdated(id=UUID(int=0x14), **_OF_CLINIC, person_id=_PERSON),
    DeputiesUpdated(
        id=UUID(int=0x15),
        **_OF_CLINIC,
        clinician_id=_CLINICIAN,
        deputies=(DeputyPeriod(person_id=_PERSON, from_at=_AT, until_at=_LATER),),
    ),
    DeputiesUpdated(id=UUID(int=0x16), **_OF_CLINIC, clinician_id=_CLINICIAN),
    SupervisorsUpdated(
        id=UUID(int=0x17),
        **_OF_CLINIC,
        clinician_id=_CLINICIAN,
        supervisors=(
            SupervisorPeriod(person_id=_PERSON, from_at=_AT, until_at=_LATER),
            SupervisorPeriod(person_id=_PERSON, from_at=_LATER),
        ),
    ),
    SupervisorsUpdated(id=UUID(int=0x18), **_OF_CLINIC, clinician_id=_CLINICIAN),
    LeadUpdated(id=UUID(int=0x19), **_OF_CLINIC, person_id=_PERSON),
    LeadUpdated(id=UUID(int=0x1A), **_OF_CLINIC),
)
