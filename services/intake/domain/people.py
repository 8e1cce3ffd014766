"""Who is part of the network: clinics, the clinicians who work there, and clients under a pseudonym.

The decisions here are pure: what is known and a request give what becomes known and the events that follow, or
raise Refused. Asked again, they change nothing and nothing follows.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from shared.errors import Rejected
from shared.events import CaseCode, ClinicianRegistered, ClinicianUpdated, Event, TimeZone, UtcDatetime

ONE_MILLISECOND = timedelta(milliseconds=1)


class StoredModel(BaseModel):
    """Kept in MongoDB, and never changed in place."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Clinic(StoredModel):
    """A clinic of the network."""

    clinic_id: UUID
    name: str
    time_zone: TimeZone
    crisis_contact: str
    """Whom a client in a crisis turns to, in the clinic's own words."""


class Clinician(StoredModel):
    """Somebody who works with clients at a clinic."""

    clinician_id: UUID
    clinic_id: UUID
    contact: str
    """Stays here: it is in no event and no log."""
    time_zone: TimeZone
    updates: int = 0
    """How often what others hear of the clinician has changed."""
    told_at: UtcDatetime
    """When others last heard of the clinician."""


class Client(StoredModel):
    """Somebody who comes to a clinic, known to us by a pseudonym only."""

    client_id: UUID
    clinic_id: UUID
    case_code: CaseCode


class CaseCodeAssignment(StoredModel):
    """A case code that stands for a client at a clinic.

    It is a document of its own, with an id that follows from clinic and code, because the uniqueness of ids is all
    that we rely on: of two who ask for the same code at once, one is refused.
    """

    clinic_id: UUID
    case_code: CaseCode
    client_id: UUID

    @staticmethod
    def document_id(clinic_id: UUID, case_code: CaseCode) -> UUID:
        """The id of the document that says whose the code is."""
        return uuid5(clinic_id, f"case code {case_code}")


def register_clinician(before: Clinician | None, requested: Clinician) -> tuple[Clinician, Sequence[Event]]:
    """Note who the clinician is; others hear of it when what they know of the clinician changes."""
    if before is None:
        return requested, (
            ClinicianRegistered(
                id=uuid5(requested.clinician_id, "registered"),
                clinician_id=requested.clinician_id,
                occurred_at=requested.told_at,
                clinic_id=requested.clinic_id,
                time_zone=requested.time_zone,
            ),
        )
    if (requested.clinic_id, requested.time_zone) == (before.clinic_id, before.time_zone):
        return before.model_copy(update={"contact": requested.contact}), ()
    clinician = requested.model_copy(
        update={"updates": before.updates + 1, "told_at": max(requested.told_at, before.told_at + ONE_MILLISECOND)}
    )
    return clinician, (
        ClinicianUpdated(
            id=uuid5(requested.clinician_id, f"updated {clinician.updates}"),
            clinician_id=requested.clinician_id,
            occurred_at=clinician.told_at,
            clinic_id=requested.clinic_id,
            time_zone=requested.time_zone,
        ),
    )


def add_client(before: Client | None, requested: Client) -> tuple[Client, Sequence[Event]]:
    """Note a client; clinic and case code stay, for they have been told to others."""
    if before is not None and before.clinic_id != requested.clinic_id:
        raise Rejected(
            "client-of-another-clinic",
            f"Client {requested.client_id} belongs to another clinic; give the client an id of its own at this one.",
        )
    if before is not None and before.case_code != requested.case_code:
        raise Rejected(
            "other-case-code",
            f"Client {requested.client_id} already has the case code {before.case_code}, and it stays; use that one.",
        )
    return requested, ()


def assign_case_code(
    before: CaseCodeAssignment | None, requested: CaseCodeAssignment
) -> tuple[CaseCodeAssignment, Sequence[Event]]:
    """Have a case code stand for one client, and for no other client of the clinic."""
    if before is not None and before.client_id != requested.client_id:
        raise Rejected(
            "case-code-taken",
            f"The case code {requested.case_code} stands for another client of this clinic; choose another one.",
        )
    return requested, ()
