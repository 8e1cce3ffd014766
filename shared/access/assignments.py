"""What a decision about a request asks of a clinic's staff."""

from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

from shared.access.roles import Role

WholeClinic = Literal["whole clinic"]
WHOLE_CLINIC: Final[WholeClinic] = "whole clinic"
"""Every clinician of the clinic, including those who have left and those without a supervisor."""
Clinicians = frozenset[UUID] | WholeClinic


class Assignments(Protocol):
    """Who works at one clinic, in which roles and for whom. Somebody who was removed has no role."""

    def roles_of(self, person_id: UUID) -> frozenset[Role]:
        """The roles that the clinic has assigned; never `deputy`, which follows from an agreed time."""

    def clinician_of(self, person_id: UUID) -> UUID | None:
        """The clinician that this person is; None for a person who sees no clients."""

    def deputized_clinicians(self, person_id: UUID, at: datetime) -> frozenset[UUID]:
        """The clinicians whose deputy this person is at that time."""

    def supervised_clinicians(self, person_id: UUID, at: datetime) -> Clinicians:
        """The clinicians whom this person supervises at that time; the whole clinic for its lead."""

    def has_supervisor(self, clinician_id: UUID, at: datetime) -> bool:
        """Whether a person other than the lead supervises this clinician at that time."""

    def has_left(self, clinician_id: UUID) -> bool:
        """Whether this clinician no longer works at the clinic."""


class NoStaff:
    """A clinic without people, for the requests of machines: they have scopes, and no roles."""

    def roles_of(self, person_id: UUID) -> frozenset[Role]:
        return frozenset()

    def clinician_of(self, person_id: UUID) -> UUID | None:
        return None

    def deputized_clinicians(self, person_id: UUID, at: datetime) -> frozenset[UUID]:
        return frozenset()

    def supervised_clinicians(self, person_id: UUID, at: datetime) -> Clinicians:
        return frozenset()

    def has_supervisor(self, clinician_id: UUID, at: datetime) -> bool:
        return False

    def has_left(self, clinician_id: UUID) -> bool:
        return False
