"""Events that intake publishes: who works with whom, on what, and what the client consented to."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from shared.events.model import (
    CaseCode,
    ClinicEvent,
    ClinicianEvent,
    Correction,
    Count,
    RelationshipEvent,
    UtcDatetime,
)
from shared.events.topics import INTAKE, Topic

TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+/-]{1,40}$")]
"""A name of the IANA time zone database, for instance `Europe/Berlin`."""

OrganisationText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
"""What an organisation says about itself; the only free text in events, because it is about no person."""

TelephoneNumber = Annotated[str, StringConstraints(pattern=r"^\+?([ ()/.-]*[0-9]){2,15}$", max_length=40)]
"""A telephone number as people write it: digits, perhaps with separators and brackets, and a plus at the start."""

Aim = Literal[
    "relief",
    "coping",
    "relationships",
    "self_understanding",
    "daily_life",
    "work_or_study",
    "loss",
    "confidence",
    "other",
]
"""What a therapy is for, as a code: the client's own words stay in the session."""

EndReason = Literal["completed", "stopped_by_client", "stopped_by_clinician", "transferred", "other"]


class ClinicUpdated(ClinicEvent):
    """A clinic joined, or its record changed; the event has the whole record, which is about no person."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.clinic.updated.v1"] = "clinic.clinic.updated.v1"
    name: OrganisationText
    time_zone: TimeZone
    crisis_contact: OrganisationText
    """Whom a client contacts in a crisis, in the clinic's own words."""
    crisis_numbers: tuple[TelephoneNumber, ...] = Field(default=(), max_length=5)
    """The numbers that a client can call in a crisis."""


class ClinicianRegistered(ClinicianEvent):
    """A clinician works at a clinic."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.clinician.registered.v1"] = "clinic.clinician.registered.v1"
    clinic_id: UUID
    time_zone: TimeZone


class ClinicianUpdated(ClinicianEvent):
    """The record of a clinician changed; the event has the whole record."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.clinician.updated.v1"] = "clinic.clinician.updated.v1"
    clinic_id: UUID
    time_zone: TimeZone


class RelationshipStarted(RelationshipEvent):
    """A clinician and a client began to work together."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.relationship.started.v1"] = "clinic.relationship.started.v1"
    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    case_code: CaseCode
    aims: tuple[Aim, ...] = Field(min_length=1)
    cadence_days: Count = Field(ge=1, le=365)
    """How many days usually lie between two sessions."""
    predecessor_id: UUID | None = None
    """The client's relationship with the previous clinician, after a transfer."""


class RelationshipAimsUpdated(RelationshipEvent):
    """Clinician and client agreed on new aims of the therapy."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.relationship.aims_updated.v1"] = "clinic.relationship.aims_updated.v1"
    aims: tuple[Aim, ...] = Field(min_length=1)


class RelationshipEnded(RelationshipEvent):
    """The two no longer work together."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.relationship.ended.v1"] = "clinic.relationship.ended.v1"
    reason: EndReason
    successor_id: UUID | None = None
    """The client's relationship with the next clinician, after a transfer."""
    correction: Correction = 0
    """How often the end was corrected, this time included; the event with the highest number counts."""
    recorded_at: UtcDatetime | None = None
    """When the correction was stored; null if it is none."""


class RelationshipReopened(RelationshipEvent):
    """The end was recorded by mistake: the two still work together. It occurred when that was corrected."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.relationship.reopened.v1"] = "clinic.relationship.reopened.v1"
    correction: Correction
    """How often the end was corrected, this time included."""


class ConsentGiven(RelationshipEvent):
    """The client agreed to be asked about the sessions and to have the answers used."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.consent.given.v1"] = "clinic.consent.given.v1"


class ConsentWithdrawn(RelationshipEvent):
    """The client withdrew consent; from then on, no feedback is requested and nothing is scored."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.consent.withdrawn.v1"] = "clinic.consent.withdrawn.v1"


class ClientErased(RelationshipEvent):
    """The client's data must be erased; published once for each relationship of the client."""

    TOPIC: ClassVar[Topic] = INTAKE

    type: Literal["clinic.client.erased.v1"] = "clinic.client.erased.v1"
    client_id: UUID
