"""Events that intake publishes about who works at a clinic, by ids only: never a name, an address or a hash of one.

Each has the whole record that changed, and occurred after the event before it about the same record.
"""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import ConfigDict

from shared.events.model import ClinicEvent, UtcDatetime
from shared.events.topics import INTAKE, Topic
from shared.runtime.model import Model

AssignedRole = Literal["clinician", "supervisor", "desk", "administrator", "privacy_officer", "ops"]
"""A role that an administrator assigns to a person."""


class DeputyPeriod(Model):
    """The time in which a person stands in for a clinician."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    person_id: UUID
    from_at: UtcDatetime
    until_at: UtcDatetime
    """The moment at which it is over."""


class SupervisorPeriod(Model):
    """The time in which a person supervises a clinician."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    person_id: UUID
    from_at: UtcDatetime
    until_at: UtcDatetime | None = None
    """The moment at which it is over; null if no end is agreed."""


class StaffUpdated(ClinicEvent):
    """A person joined the staff of a clinic, or has other roles, or was removed."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.staff.updated.v1"] = "clinic.staff.updated.v1"
    person_id: UUID
    roles: tuple[AssignedRole, ...] = ()
    clinician_id: UUID | None = None
    """The clinician that the person is, or was."""
    is_removed: bool = False
    """The person no longer works at the clinic."""


class DeputiesUpdated(ClinicEvent):
    """Others stand in for a clinician, or at other times."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.deputies.updated.v1"] = "clinic.deputies.updated.v1"
    clinician_id: UUID
    deputies: tuple[DeputyPeriod, ...] = ()


class SupervisorsUpdated(ClinicEvent):
    """Others supervise a clinician, or at other times."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.supervisors.updated.v1"] = "clinic.supervisors.updated.v1"
    clinician_id: UUID
    supervisors: tuple[SupervisorPeriod, ...] = ()


class LeadUpdated(ClinicEvent):
    """Another supervisor is the lead of the clinic, who supervises all its clinicians, or none is."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.lead.updated.v1"] = "clinic.lead.updated.v1"
    person_id: UUID | None = None


StaffEvent = StaffUpdated | DeputiesUpdated | SupervisorsUpdated | LeadUpdated
STAFF_EVENTS: tuple[type[StaffEvent], ...] = (StaffUpdated, DeputiesUpdated, SupervisorsUpdated, LeadUpdated)
