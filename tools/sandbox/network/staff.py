"""Who works at a clinic of the simulated network, in which role. Nothing here does I/O."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid5

from shared.events.staff import AssignedRole
from tools.sandbox.network.course import Clinic, Clinician

ClinicRole = Literal["administrator", "supervisor", "desk", "privacy_officer"]
"""The roles that one person of each clinic has. The supervisor is the lead."""
DUTIES: dict[ClinicRole, str] = {
    "administrator": "Administrator: people and settings",
    "supervisor": "Lead supervisor: all alliances and alerts of the clinic",
    "desk": "Desk: clients and appointments",
    "privacy_officer": "Privacy officer: who has read what",
}


@dataclass(frozen=True)
class StaffMember:
    """A person, and the account at the issuer with which the person signs in."""

    person_id: UUID
    clinic_id: UUID
    role: AssignedRole
    clinician_id: UUID | None
    subject: str
    name: str
    email: str
    duty: str


def clinic_staff(clinic: Clinic) -> list[StaffMember]:
    """The people of a clinic who are no clinicians."""
    town = clinic.name.removesuffix(" Clinic")
    return [
        StaffMember(
            person_id=uuid5(clinic.id, role),
            clinic_id=clinic.id,
            role=role,
            clinician_id=None,
            subject=f"{role}.{clinic.id}",
            name=f"{role.replace('_', ' ').capitalize()} of {town}",
            email=f"{role.replace('_', '-')}.{town.lower().replace(' ', '-')}@example.org",
            duty=duty,
        )
        for role, duty in DUTIES.items()
    ]


def clinician_as_staff(clinician: Clinician) -> StaffMember:
    """The person who is this clinician."""
    return StaffMember(
        person_id=uuid5(clinician.id, "person"),
        clinic_id=clinician.clinic_id,
        role="clinician",
        clinician_id=clinician.id,
        subject=f"clinician.{clinician.id}",
        name=clinician.name,
        email=clinician.email or f"{clinician.name}@example.org",
        duty="Clinician: the own clients",
    )
