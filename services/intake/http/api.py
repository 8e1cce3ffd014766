"""What we answer: the intake desk and clinic systems. Every request is safe to send again."""

from functools import cache
from typing import Annotated
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, StringConstraints

from services.intake.domain.caseload_csv import RowError as WrongCell
from services.intake.domain.people import Clinic
from services.intake.domain.relationships import (
    Aims,
    AimsAgreement,
    CadenceDays,
    Consent,
    NonTransferEndReason,
    Relationship,
)
from services.intake.service import CaseloadRejected, IntakeService
from shared.events import CaseCode, EndReason, TimeZone, UtcDatetime
from shared.http.problems import FieldError, Problem, ProblemDetails
from shared.http.request_body import RequestBody

MAX_LISTED_ERRORS = 100
"""As many things wrong in a file are listed; with more, the first ones show what kind of thing it is."""
MAX_PAGE_SIZE = 1000
CSV = "text/csv"


@cache
def _iana_time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _check_time_zone(zone: str) -> str:
    if zone not in _iana_time_zones():
        raise ValueError("is no time zone of the IANA database; for instance Europe/Berlin")
    return zone


IanaTimeZone = Annotated[TimeZone, AfterValidator(_check_time_zone)]
ShortText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]+\.[^@\s.]+$", max_length=254)]


class ClinicBody(RequestBody):
    name: ShortText
    time_zone: IanaTimeZone
    crisis_contact: ShortText
    """Whom a client in a crisis turns to."""


class ClinicianBody(RequestBody):
    clinic_id: UUID
    contact: EmailAddress
    """An e-mail address; it is kept here and shown nowhere."""
    time_zone: IanaTimeZone


class ClientBody(RequestBody):
    clinic_id: UUID
    case_code: CaseCode


class RelationshipBody(RequestBody):
    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    started_at: UtcDatetime
    aims: Aims
    cadence_days: CadenceDays
    consent: bool


class AimsBody(RequestBody):
    aims: Aims
    agreed_at: UtcDatetime


class ConsentBody(RequestBody):
    given: bool
    at: UtcDatetime


class EndBody(RequestBody):
    reason: NonTransferEndReason
    at: UtcDatetime


class TransferBody(RequestBody):
    clinician_id: UUID
    relationship_id: UUID
    """The id of the relationship that follows."""
    at: UtcDatetime


class ClinicianView(BaseModel):
    """A clinician as others may know them."""

    clinician_id: UUID
    clinic_id: UUID
    time_zone: TimeZone


class ClientView(BaseModel):
    """A client, known by a pseudonym."""

    client_id: UUID
    clinic_id: UUID
    case_code: CaseCode


class RelationshipView(BaseModel):
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
    """None as long as the client has not agreed."""
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


class TransferView(BaseModel):
    """The relationship that ended, and the one that followed it."""

    ended: RelationshipView
    started: RelationshipView


class CaseloadView(BaseModel):
    """A clinic's relationships in the order of their ids."""

    relationships: list[RelationshipView]
    next: UUID | None
    """There are more: ask again with it as `after`."""


class ImportView(BaseModel):
    """What became of a caseload file; after a dry run, what would become of it."""

    rows: int
    started: int
    already_known: int
    dry_run: bool


class CaseloadProblemDetails(ProblemDetails):
    """What is wrong in a caseload file."""

    total: int
    """How many things are wrong; `errors` holds the first of them."""


def routes(service: IntakeService) -> APIRouter:
    """Every route of the service."""
    router = APIRouter()
    router.include_router(_people_routes(service))
    router.include_router(_relationship_routes(service))
    router.include_router(_caseload_routes(service))
    return router


def _people_routes(service: IntakeService) -> APIRouter:
    router = APIRouter(tags=["people"])

    @router.put("/clinics/{clinic_id}")
    async def save_clinic(clinic_id: UUID, body: ClinicBody) -> Clinic:
        """Enter a clinic under an id that you choose, or change what is known of it."""
        return await service.save_clinic(Clinic(clinic_id=clinic_id, **body.model_dump()))

    @router.put("/clinicians/{clinician_id}")
    async def register_clinician(clinician_id: UUID, body: ClinicianBody) -> ClinicianView:
        """Register a clinician under an id that you choose, or change what is known of them."""
        clinician = await service.register_clinician(clinician_id, body.clinic_id, body.contact, body.time_zone)
        return ClinicianView.model_validate(clinician.model_dump())

    @router.put("/clients/{client_id}")
    async def add_client(client_id: UUID, body: ClientBody) -> ClientView:
        """Enter a client under an id and a case code that you choose; no other client of the clinic may have it."""
        client = await service.add_client(client_id, body.clinic_id, body.case_code)
        return ClientView.model_validate(client.model_dump())

    return router


def _relationship_routes(service: IntakeService) -> APIRouter:
    router = APIRouter(prefix="/relationships/{relationship_id}", tags=["relationships"])

    @router.get("")
    async def get_relationship(relationship_id: UUID) -> RelationshipView:
        """A relationship as it is now."""
        return RelationshipView.of(await service.get_relationship(relationship_id))

    @router.put("")
    async def start_relationship(relationship_id: UUID, body: RelationshipBody) -> RelationshipView:
        """Start a relationship under an id that you choose."""
        return RelationshipView.of(await service.start_relationship(relationship_id, **dict(body)))

    @router.put("/aims")
    async def update_aims(relationship_id: UUID, body: AimsBody) -> RelationshipView:
        """The two agreed anew on what the therapy is for."""
        return RelationshipView.of(await service.update_aims(relationship_id, AimsAgreement(**dict(body))))

    @router.put("/consent")
    async def change_consent(relationship_id: UUID, body: ConsentBody) -> RelationshipView:
        """The client agrees to be asked about the sessions, or no longer does."""
        return RelationshipView.of(await service.change_consent(relationship_id, Consent(**dict(body))))

    @router.post("/end")
    async def end_relationship(relationship_id: UUID, body: EndBody) -> RelationshipView:
        """The two no longer work together, and nobody follows; otherwise transfer."""
        return RelationshipView.of(await service.end_relationship(relationship_id, body.reason, body.at))

    @router.post("/transfer")
    async def transfer_relationship(relationship_id: UUID, body: TransferBody) -> TransferView:
        """The client goes on with another clinician of the clinic, with the same aims, cadence and consent."""
        ended, started = await service.transfer_relationship(
            relationship_id, body.relationship_id, body.clinician_id, body.at
        )
        return TransferView(ended=RelationshipView.of(ended), started=RelationshipView.of(started))

    return router


def _caseload_routes(service: IntakeService) -> APIRouter:
    router = APIRouter(prefix="/clinics/{clinic_id}", tags=["caseload"])

    @router.get("/relationships")
    async def list_relationships(
        clinic_id: UUID, after: UUID | None = None, most: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = MAX_PAGE_SIZE
    ) -> CaseloadView:
        """A clinic's relationships, ended ones too."""
        relationships = await service.list_relationships(clinic_id, after, most + 1)
        return CaseloadView(
            relationships=[RelationshipView.of(relationship) for relationship in relationships[:most]],
            next=relationships[most - 1].relationship_id if len(relationships) > most else None,
        )

    @router.post(
        "/caseload",
        openapi_extra={"requestBody": {"required": True, "content": {CSV: {"schema": {"type": "string"}}}}},
    )
    async def import_caseload(clinic_id: UUID, request: Request, dry_run: bool = False) -> ImportView:
        """Start the relationships of a CSV file that are not known yet: all of them, or none when something is wrong.

        UTF-8; comma, semicolon or tab; a header; at most 5,000 rows. Clients that are not known yet are entered.
        A file that is not valid is answered with 422, the first 100 `errors`, and their `total`.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != CSV:
            raise Problem(415, "not-csv", "Not CSV", f"Send the file with the header Content-Type: {CSV}.")
        try:
            result = await service.import_caseload(clinic_id, await request.body(), dry_run=dry_run)
        except CaseloadRejected as error:
            raise _caseload_problem(error.errors) from None
        return ImportView(
            rows=result.row_count,
            started=result.started_count,
            already_known=result.already_known_count,
            dry_run=dry_run,
        )

    return router


def _caseload_problem(errors: list[WrongCell]) -> Problem:
    total = len(errors)
    detail = f"Nothing was imported, for the file has faults ({total}). Correct them, and send it again."
    if total > MAX_LISTED_ERRORS:
        detail += f" The first {MAX_LISTED_ERRORS} are listed."
    listed_errors = [
        FieldError(pointer=_json_pointer(error), detail=error.detail) for error in errors[:MAX_LISTED_ERRORS]
    ]
    problem = Problem(422, "caseload-not-valid", "The caseload is not valid", detail, listed_errors)
    problem.details = CaseloadProblemDetails(**problem.details.model_dump(), total=total)
    return problem


def _json_pointer(error: WrongCell) -> str:
    return f"/rows/{error.row}" if error.column is None else f"/rows/{error.row}/{error.column}"
