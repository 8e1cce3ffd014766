"""A clinic's staff by hand, for tests of who may do what."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from shared.access.assignments import WHOLE_CLINIC, Clinicians
from shared.access.clinic_id import ClinicId
from shared.access.roles import Role, Scope
from shared.identity.principal import Machine, Person

Period = tuple[datetime, datetime]
"""From when until when."""


@dataclass
class FakeStaff:
    """The assignments of one clinic, as they were put in."""

    roles: dict[UUID, frozenset[Role]] = field(default_factory=dict)
    clinicians: dict[UUID, UUID] = field(default_factory=dict)
    """By person."""
    deputies: dict[tuple[UUID, UUID], Period] = field(default_factory=dict)
    """By person and clinician."""
    supervisors: dict[tuple[UUID, UUID], Period] = field(default_factory=dict)
    """By person and clinician."""
    lead: UUID | None = None
    left: frozenset[UUID] = frozenset()
    """Clinicians who no longer work at the clinic."""

    def roles_of(self, person_id: UUID) -> frozenset[Role]:
        return self.roles.get(person_id, frozenset())

    def clinician_of(self, person_id: UUID) -> UUID | None:
        return self.clinicians.get(person_id)

    def deputized_clinicians(self, person_id: UUID, at: datetime) -> frozenset[UUID]:
        return _during(self.deputies, person_id, at)

    def supervised_clinicians(self, person_id: UUID, at: datetime) -> Clinicians:
        return WHOLE_CLINIC if person_id == self.lead else _during(self.supervisors, person_id, at)

    def has_left(self, clinician_id: UUID) -> bool:
        return clinician_id in self.left

    def has_supervisor(self, clinician_id: UUID, at: datetime) -> bool:
        return any(
            clinician == clinician_id and start <= at < end for (_, clinician), (start, end) in self.supervisors.items()
        )


def _during(periods: Mapping[tuple[UUID, UUID], Period], person_id: UUID, at: datetime) -> frozenset[UUID]:
    return frozenset(
        clinician for (person, clinician), (start, end) in periods.items() if person == person_id and start <= at < end
    )


def person_of(clinic_id: ClinicId, person_id: UUID | None = None, chosen_role: Role | None = None) -> Person:
    """Somebody who signed in."""
    return Person(person_id or uuid4(), clinic_id, login_session_id="login", chosen_role=chosen_role)


def machine_of(clinic_id: ClinicId, scopes: Set[Scope] = frozenset()) -> Machine:
    """A clinic's system."""
    return Machine(uuid4(), clinic_id, frozenset(scopes))
