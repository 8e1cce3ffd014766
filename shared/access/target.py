"""What a request is about, as far as it decides who may see it."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.access.clinic_id import ClinicId


@dataclass(frozen=True)
class Target:
    """A relationship, or what belongs to one, or the record of a clinician or a person.

    What is left out is unknown: a request that only this would allow is refused.
    """

    clinic_id: ClinicId
    clinician_id: UUID | None = None
    """The clinician of the relationship or of the record."""
    ended_at: datetime | None = None
    """When the relationship ended; None while it is open."""
    is_escalated: bool = False
    """Whether it is an alert that was escalated."""
    person_id: UUID | None = None
    """The person of the record, if it is one of a person."""
