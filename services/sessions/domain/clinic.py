"""A clinic as its clients see it: a pure fold over intake's events.

Events may arrive in any order and more than once: the newest one decides everything.
"""

from uuid import UUID

from pydantic import ConfigDict

from shared.events import ClinicUpdated, TelephoneNumber, UtcDatetime
from shared.runtime.model import Model


class Clinic(Model):
    """What the pages for clients say about a clinic."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    clinic_id: UUID
    updated_at: UtcDatetime
    event_id: UUID
    """The event that says all this. Of two at the same time, the one with the greater id counts."""
    name: str
    crisis_contact: str
    """Whom a client contacts in a crisis, in the clinic's own words."""
    crisis_numbers: tuple[TelephoneNumber, ...] = ()

    @classmethod
    def of(cls, event: ClinicUpdated) -> "Clinic":
        return cls(
            clinic_id=event.clinic_id,
            updated_at=event.occurred_at,
            event_id=event.id,
            name=event.name,
            crisis_contact=event.crisis_contact,
            crisis_numbers=event.crisis_numbers,
        )

    def is_newer_than(self, other: "Clinic") -> bool:
        return (self.updated_at, self.event_id) > (other.updated_at, other.event_id)


def evolve(clinic: Clinic | None, event: ClinicUpdated) -> Clinic:
    """Apply one event."""
    updated = Clinic.of(event)
    return updated if clinic is None or updated.is_newer_than(clinic) else clinic
