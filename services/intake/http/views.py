"""What the HTTP API returns."""

from uuid import UUID

from services.intake.domain.relationship import (
    Aims,
    CadenceDays,
    Relationship,
)
from shared.access.roles import Scope
from shared.events import (
    AssignedRole,
    CaseCode,
    DeputyPeriod,
    EndReason,
    SupervisorPeriod,
    TelephoneNumber,
    TimeZone,
    UtcDatetime,
)
from shared.http.problems import ProblemDetails
from shared.runtime.model import Model


class ClinicView(Model):
    """A clinic, with the numbers that its clients can call in a crisis."""

    clinic_id: UUID
    name: str
    time_zone: TimeZone
    crisis_contact: str
    crisis_numbers: tuple[TelephoneNumber, ...]


class ClinicianView(Model):
    """A clinician, without the contact."""

    clinician_id: UUID
    clinic_id: UUID
    time_zone: TimeZone


class PersonView(Model):
    """Somebody on the staff of a clinic."""

    person_id: UUID
    clinic_id: UUID
    roles: tuple[AssignedRole, ...]
    clinician_id: UUID | None


class InvitationView(Model):
    """An invitation, with the link that is shown only once."""

    person_id: UUID
    link: str
    expires_at: UtcDatetime


class DeputiesView(Model):
    """Who stands in for a clinician, and when."""

    clinician_id: UUID
    deputies: tuple[DeputyPeriod, ...]


class SupervisorsView(Model):
    """Who supervises a clinician, and when."""

    clinician_id: UUID
    supervisors: tuple[SupervisorPeriod, ...]


class LeadView(Model):
    """The supervisor of a whole clinic."""

    clinic_id: UUID
    person_id: UUID | None


class MachineView(Model):
    """A clinic's own system."""

    machine_id: UUID
    clinic_id: UUID
    client_id: str
    scopes: tuple[Scope, ...]


class ClientView(Model):
    """A client, known by a pseudonym."""

    client_id: UUID
    clinic_id: UUID
    case_code: CaseCode


class RelationshipView(Model):
    """A relationship as it is now."""

    relationship_id: UUID
    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    case_code: CaseCode
    started_at: UtcDatetime
    aims: Aims
    aims_agreed_at: UtcDatetime
    cadence_days: CadenceDays
    consent: bool
    consent_changed_at: UtcDatetime | None
    """None until the client first agrees."""
    predecessor_id: UUID | None
    ended_at: UtcDatetime | None
    end_reason: EndReason | None
    successor_id: UUID | None

    @classmethod
    def of(cls, relationship: Relationship) -> "RelationshipView":
        start, end = relationship.start, relationship.end
        return cls(
            relationship_id=relationship.relationship_id,
            clinic_id=start.clinic_id,
            clinician_id=start.clinician_id,
            client_id=start.client_id,
            case_code=start.case_code,
            started_at=start.started_at,
            aims=relationship.aims,
            aims_agreed_at=relationship.agreements[-1].agreed_at,
            cadence_days=start.cadence_days,
            consent=relationship.consent,
            consent_changed_at=relationship.consents[-1].at if relationship.consents else None,
            predecessor_id=start.predecessor_id,
            ended_at=end.at if end else None,
            end_reason=end.reason if end else None,
            successor_id=end.successor_id if end else None,
        )


class TransferView(Model):
    """The relationship that ended, and the one that follows it."""

    ended: RelationshipView
    started: RelationshipView


class CaseloadView(Model):
    """A clinic's relationships in the order of their ids."""

    relationships: list[RelationshipView]
    next: UUID | None
    """If set, there are more relationships: pass it as `after`."""


class ImportView(Model):
    """The result of an import. After a dry run, what the import would give."""

    rows: int
    started: int
    already_known: int
    dry_run: bool


class CaseloadProblemDetails(ProblemDetails):
    """The errors in a caseload file."""

    total: int
    """The number of errors. `errors` contains the first of them."""
