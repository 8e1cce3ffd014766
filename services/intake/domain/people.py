"""The people of the network: clinics, the clinicians who work there, and clients under a pseudonym.

The decisions are pure. Each takes what is known and a request, and returns what is known afterwards and the new
events, or raises Rejected. A repeated request changes nothing and gives no events.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from pydantic import ConfigDict

from services.intake.domain.case_codes import reject_identifying
from shared.clinical.telephone_numbers import find_telephone_numbers
from shared.errors import IdTaken, NotFound, Rejected
from shared.events import (
    CaseCode,
    ClinicianRegistered,
    ClinicianUpdated,
    ClinicUpdated,
    Event,
    TelephoneNumber,
    TimeZone,
    UtcDatetime,
)
from shared.runtime.model import Model

ONE_MILLISECOND = timedelta(milliseconds=1)
MAX_CRISIS_NUMBERS = 5
"""More would be hard to choose from, for somebody in danger."""


class StoredModel(Model):
    """An immutable part of a MongoDB document."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Clinic(StoredModel):
    """A clinic of the network."""

    clinic_id: UUID
    name: str
    time_zone: TimeZone
    crisis_contact: str
    """Whom a client contacts in a crisis, in the clinic's own words."""
    crisis_numbers: tuple[TelephoneNumber, ...] | None = None
    """The numbers that a client can call in a crisis; None: those that `crisis_contact` contains."""
    updates: int = 0
    """The number of ClinicUpdated events."""
    last_event_at: UtcDatetime | None = None
    """When the latest event about the clinic occurred; None if an older version stored the clinic, without an event."""

    @property
    def numbers_to_call(self) -> tuple[TelephoneNumber, ...]:
        """The numbers that a client can call in a crisis."""
        if self.crisis_numbers is not None:
            return self.crisis_numbers
        return find_telephone_numbers(self.crisis_contact)[:MAX_CRISIS_NUMBERS]


class Clinician(StoredModel):
    """Somebody who works with clients at a clinic."""

    clinician_id: UUID
    clinic_id: UUID
    contact: str
    """Never leaves this service: no event and no log contains it."""
    time_zone: TimeZone
    updates: int = 0
    """The number of ClinicianUpdated events."""
    last_event_at: UtcDatetime
    """When the latest event about the clinician occurred."""


class Client(StoredModel):
    """Somebody who comes to a clinic, known only by a pseudonym."""

    client_id: UUID
    clinic_id: UUID
    case_code: CaseCode


class CaseCodeAssignment(StoredModel):
    """The client for whom a case code of a clinic stands.

    It is a document of its own, with an id derived from clinic and code, because only the uniqueness of `_id` is
    relied on: of two concurrent requests for the same code, one is rejected.
    """

    clinic_id: UUID
    case_code: CaseCode
    client_id: UUID

    @staticmethod
    def document_id(clinic_id: UUID, case_code: CaseCode) -> UUID:
        """The id of the document that assigns the code."""
        return uuid5(clinic_id, f"case code {case_code}")


def not_found(resource: str, resource_id: UUID) -> NotFound:
    """The answer to a request that refers to something unknown, or to something of another clinic.

    `resource` is `clinic`, `clinician`, `client` or `relationship`.
    """
    return NotFound(
        f"unknown-{resource}",
        f"{resource.capitalize()} {resource_id} is not known here. Check the id, or add it first: "
        f"PUT /{resource}s/{resource_id}.",
    )


def save_clinic(before: Clinic | None, requested: Clinic, now: datetime) -> tuple[Clinic, Sequence[Event]]:
    """Add or change a clinic. There is an event if a field changes, or if there never was one."""
    last_event_at = before.last_event_at if before else None
    if before is not None and last_event_at is not None:
        clinic = requested.model_copy(update={"updates": before.updates, "last_event_at": last_event_at})
        if clinic == before:
            return before, ()
    occurred_at = max(now, last_event_at + ONE_MILLISECOND) if last_event_at else now
    updates = before.updates + 1 if before else 1
    clinic = requested.model_copy(update={"updates": updates, "last_event_at": occurred_at})
    return clinic, (
        ClinicUpdated(
            id=uuid5(clinic.clinic_id, f"updated {updates}"),
            clinic_id=clinic.clinic_id,
            occurred_at=occurred_at,
            name=clinic.name,
            time_zone=clinic.time_zone,
            crisis_contact=clinic.crisis_contact,
            crisis_numbers=clinic.numbers_to_call,
        ),
    )


def register_clinician(
    before: Clinician | None, requested: Clinician, *, can_move: bool = False
) -> tuple[Clinician, Sequence[Event]]:
    """Register or update a clinician. There is an event only if a field that events contain changes.

    To another clinic a clinician moves only if `can_move`, which is when no relationship is open.
    """
    if before is None:
        return requested, (
            ClinicianRegistered(
                id=uuid5(requested.clinician_id, "registered"),
                clinician_id=requested.clinician_id,
                occurred_at=requested.last_event_at,
                clinic_id=requested.clinic_id,
                time_zone=requested.time_zone,
            ),
        )
    if requested.clinic_id != before.clinic_id and not can_move:
        raise Rejected(
            "clinician-has-relationships",
            f"Clinician {requested.clinician_id} has open relationships; end or transfer them before the clinician "
            "moves to another clinic.",
        )
    if (requested.clinic_id, requested.time_zone) == (before.clinic_id, before.time_zone):
        return before.model_copy(update={"contact": requested.contact}), ()
    clinician = requested.model_copy(
        update={
            "updates": before.updates + 1,
            "last_event_at": max(requested.last_event_at, before.last_event_at + ONE_MILLISECOND),
        }
    )
    return clinician, (
        ClinicianUpdated(
            id=uuid5(requested.clinician_id, f"updated {clinician.updates}"),
            clinician_id=requested.clinician_id,
            occurred_at=clinician.last_event_at,
            clinic_id=requested.clinic_id,
            time_zone=requested.time_zone,
        ),
    )


def add_client(before: Client | None, requested: Client) -> tuple[Client, Sequence[Event]]:
    """Add a client. Clinic and case code never change, because published events contain them.

    A code that a client has already is accepted for ever, even if it could not be given to anybody today.
    """
    if before is None:
        reject_identifying(requested.case_code)
    if before is not None and before.clinic_id != requested.clinic_id:
        raise IdTaken
    if before is not None and before.case_code != requested.case_code:
        raise Rejected(
            "other-case-code",
            f"Client {requested.client_id} has another case code, and keeps it. Leave case_code out to be told which.",
        )
    return requested, ()


def assign_case_code(
    before: CaseCodeAssignment | None, requested: CaseCodeAssignment
) -> tuple[CaseCodeAssignment, Sequence[Event]]:
    """Assign a case code to one client. No other client of the clinic may have it."""
    if before is not None and before.client_id != requested.client_id:
        raise Rejected(
            "case-code-taken",
            f"The case code {requested.case_code} stands for another client of this clinic; choose another one.",
        )
    return requested, ()
