"""Who works at a clinic of the simulated network, in which role. Nothing here does I/O."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid5

from shared.events.staff import AssignedRole
from tools.sandbox.network.course import Clinic, Clinician
from tools.sandbox.servers.issuer_configuration import Account

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
    account: Account


def administrator_of(clinic: Clinic) -> StaffMember:
    """The person who is there first, and adds the others."""
    return _member(clinic, "administrator")


def lead_of(clinic: Clinic) -> StaffMember:
    """The supervisor of the whole clinic."""
    return _member(clinic, "supervisor")


def invited_staff(clinic: Clinic) -> list[StaffMember]:
    """The people whom the administrator invites, without the clinicians."""
    return [_member(clinic, role) for role in DUTIES if role != "administrator"]


def clinician_as_staff(clinician: Clinician) -> StaffMember:
    """The person who is this clinician."""
    email = clinician.email or f"{clinician.name}@example.org"
    return StaffMember(
        person_id=uuid5(clinician.id, "person"),
        clinic_id=clinician.clinic_id,
        role="clinician",
        clinician_id=clinician.id,
        account=Account(f"clinician.{clinician.id}", clinician.name, email, "Clinician: the own clients"),
    )


def _member(clinic: Clinic, role: ClinicRole) -> StaffMember:
    town, title = clinic.name.removesuffix(" Clinic"), role.replace("_", " ").capitalize()
    email = f"{role}.{town}@example.org".lower().replace(" ", "-").replace("_", "-")
    return StaffMember(
        person_id=uuid5(clinic.id, role),
        clinic_id=clinic.id,
        role=role,
        clinician_id=None,
        account=Account(f"{role}.{clinic.id}", f"{title} of {town}", email, DUTIES[role]),
    )
