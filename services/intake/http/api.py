"""The JSON API for the intake desk and clinic systems. Every request is idempotent."""

from functools import cache
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StringConstraints

from services.intake.domain.caseload_csv import COLUMNS, RowError
from services.intake.domain.people import MAX_CRISIS_NUMBERS, Clinic
from services.intake.domain.relationship import (
    Aims,
    AimsAgreement,
    Consent,
    End,
    EndCorrection,
    NonTransferEndReason,
)
from services.intake.http.views import (
    CaseloadProblemDetails,
    CaseloadView,
    ClientView,
    ClinicianView,
    ClinicView,
    ImportView,
    RelationshipView,
    TransferView,
)
from services.intake.service.caseload import CaseloadRejected, CaseloadService
from services.intake.service.people import PeopleService
from services.intake.service.relationships import RelationshipService
from shared.events import CaseCode, TelephoneNumber, TimeZone
from shared.http.problems import MAX_LISTED_ERRORS, FieldError, Problem
from shared.http.query_parameters import require_digits
from shared.http.request_body import (
    RequestBody,
    RequestedTime,
    VisibleText,
    WholeNumber,
    reject_invisible_characters,
)

"""A file with more errors usually repeats the same few, so the first ones are enough."""
MAX_PAGE_SIZE = 100
PageSize = Annotated[int, Query(alias="most", ge=1, le=MAX_PAGE_SIZE), BeforeValidator(require_digits)]
CSV = "text/csv"
CSV_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The columns, in any order:\n\n"
        + "\n".join(f"- `{name}`: {content}" for name, content in COLUMNS.items()),
        "content": {CSV: {"schema": {"type": "string"}}},
    }
}


@cache
def _iana_time_zones() -> frozenset[str]:
    """Without the two names that are no zones: `localtime` is that of the server, and `Factory` is nowhere."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def _check_time_zone(zone: str) -> str:
    if zone not in _iana_time_zones():
        raise ValueError("is not a time zone of the IANA database; for example Europe/Berlin")
    return zone


IanaTimeZone = Annotated[
    TimeZone, AfterValidator(_check_time_zone), Field(json_schema_extra={"format": "iana-time-zone"})
]
ShortText = Annotated[VisibleText, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
DialledNumber = Annotated[TelephoneNumber, StringConstraints(strip_whitespace=True)]
EmailAddress = Annotated[
    str,
    StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]+\.[^@\s.]+$", max_length=254),
    AfterValidator(reject_invisible_characters),
    Field(json_schema_extra={"format": "email"}),
]


class ClinicBody(RequestBody):
    name: ShortText
    time_zone: IanaTimeZone
    crisis_contact: ShortText
    """Whom a client contacts in a crisis. It stands on every page that a client sees."""
    crisis_numbers: Annotated[list[DialledNumber], Field(max_length=MAX_CRISIS_NUMBERS)] | None = None
    """The numbers that a client can call with one tap; if left out, those of six digits or more in `crisis_contact`."""


class ClinicianBody(RequestBody):
    clinic_id: UUID
    contact: EmailAddress
    """An e-mail address. It is stored, and no response contains it."""
    time_zone: IanaTimeZone


class ClientBody(RequestBody):
    clinic_id: UUID
    case_code: CaseCode | None = None
    """If it is left out, the service chooses one; a client keeps the code for ever."""


class RelationshipBody(RequestBody):
    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    started_at: RequestedTime
    aims: Aims
    cadence_days: WholeNumber = Field(ge=1, le=365)
    consent: StrictBool


class AimsBody(RequestBody):
    aims: Aims
    agreed_at: RequestedTime


class ConsentBody(RequestBody):
    given: StrictBool
    at: RequestedTime


class EndBody(RequestBody):
    reason: NonTransferEndReason
    at: RequestedTime


class EndCorrectionBody(RequestBody):
    end: EndBody | None
    """The right end; null if the two still work together."""


class TransferBody(RequestBody):
    clinician_id: UUID
    relationship_id: UUID
    """The id of the relationship that follows."""
    at: RequestedTime


def routes(people: PeopleService, relationships: RelationshipService, caseload: CaseloadService) -> APIRouter:
    """Every route of the service."""
    router = APIRouter()
    router.include_router(_people_routes(people))
    router.include_router(_relationship_routes(relationships))
    router.include_router(_end_routes(relationships))
    router.include_router(_caseload_routes(caseload))
    return router


def _people_routes(service: PeopleService) -> APIRouter:
    router = APIRouter(tags=["people"])

    @router.put("/clinics/{clinic_id}")
    async def save_clinic(clinic_id: UUID, body: ClinicBody) -> ClinicView:
        """Add a clinic under an id that you choose, or change it."""
        clinic = await service.save_clinic(None, Clinic(clinic_id=clinic_id, **body.model_dump()))
        return ClinicView.model_validate(clinic.model_dump() | {"crisis_numbers": clinic.numbers_to_call})

    @router.put("/clinicians/{clinician_id}")
    async def register_clinician(clinician_id: UUID, body: ClinicianBody) -> ClinicianView:
        """Register a clinician under an id that you choose, or change the clinician."""
        clinician = await service.register_clinician(None, clinician_id, body.clinic_id, body.contact, body.time_zone)
        return ClinicianView.model_validate(clinician.model_dump())

    @router.put("/clients/{client_id}")
    async def add_client(client_id: UUID, body: ClientBody) -> ClientView:
        """Add a client under an id that you choose, and under a case code that you choose or leave to the service.

        No other client of the clinic may have the code, and a new one must be neither a name nor a birthday: it must
        not have four letters in a row or contain a date.
        """
        client = await service.add_client(None, client_id, body.clinic_id, body.case_code)
        return ClientView.model_validate(client.model_dump())

    return router


def _relationship_routes(service: RelationshipService) -> APIRouter:
    router = APIRouter(prefix="/relationships/{relationship_id}", tags=["relationships"])

    @router.get("")
    async def get_relationship(relationship_id: UUID) -> RelationshipView:
        """A relationship as it is now."""
        return RelationshipView.of(await service.get_relationship(None, relationship_id))

    @router.put("")
    async def start_relationship(relationship_id: UUID, body: RelationshipBody) -> RelationshipView:
        """Start a relationship under an id that you choose."""
        return RelationshipView.of(await service.start_relationship(None, relationship_id, **dict(body)))

    @router.put("/aims")
    async def update_aims(relationship_id: UUID, body: AimsBody) -> RelationshipView:
        """Record that client and clinician agreed on new aims."""
        return RelationshipView.of(await service.update_aims(None, relationship_id, AimsAgreement(**dict(body))))

    @router.put("/consent")
    async def change_consent(relationship_id: UUID, body: ConsentBody) -> RelationshipView:
        """Record that the client gives or withdraws consent to be asked about the sessions."""
        return RelationshipView.of(await service.change_consent(None, relationship_id, Consent(**dict(body))))

    return router


def _end_routes(service: RelationshipService) -> APIRouter:
    router = APIRouter(prefix="/relationships/{relationship_id}", tags=["relationships"])

    @router.post("/end")
    async def end_relationship(relationship_id: UUID, body: EndBody) -> RelationshipView:
        """Record that a relationship ended and no other one follows it. Otherwise, transfer it."""
        return RelationshipView.of(await service.end_relationship(None, relationship_id, body.reason, body.at))

    @router.put("/end/corrections/{correction_id}")
    async def correct_end(relationship_id: UUID, correction_id: UUID, body: EndCorrectionBody) -> RelationshipView:
        """Correct an end that was recorded by mistake, under an id that you choose: another end, or none."""
        end = None if body.end is None else End(reason=body.end.reason, at=body.end.at)
        correction = EndCorrection(correction_id=correction_id, end=end)
        return RelationshipView.of(await service.correct_end(None, relationship_id, correction))

    @router.post("/transfer")
    async def transfer_relationship(relationship_id: UUID, body: TransferBody) -> TransferView:
        """Record that the client continues with another clinician of the clinic. Aims, cadence and consent stay."""
        ended, started = await service.transfer_relationship(
            None, relationship_id, body.relationship_id, body.clinician_id, body.at
        )
        return TransferView(ended=RelationshipView.of(ended), started=RelationshipView.of(started))

    return router


def _caseload_routes(service: CaseloadService) -> APIRouter:
    router = APIRouter(prefix="/clinics/{clinic_id}", tags=["caseload"])

    @router.get("/relationships")
    async def list_relationships(
        clinic_id: UUID,
        after: UUID | None = None,
        limit: PageSize = MAX_PAGE_SIZE,
    ) -> CaseloadView:
        """A clinic's relationships, including those that ended; at most 100, and more `after` the id in `next`."""
        relationships = await service.list_relationships(None, clinic_id, after, limit + 1)
        return CaseloadView(
            relationships=[RelationshipView.of(relationship) for relationship in relationships[:limit]],
            next=relationships[limit - 1].relationship_id if len(relationships) > limit else None,
        )

    @router.post("/caseload", openapi_extra=CSV_BODY)
    async def import_caseload(clinic_id: UUID, request: Request, dry_run: bool = False) -> ImportView:
        """Start every relationship of a CSV file that is not known yet, or none if the file has errors.

        The file is UTF-8, separated by comma, semicolon or tab, with a header and at most 5,000 rows. Unknown clients
        are added; without a `case_code`, the service chooses one. Errors give 422 with the first 100 and their `total`.
        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != CSV:
            raise Problem(415, "not-csv", "Not CSV", f"Send the file with the header Content-Type: {CSV}.")
        try:
            result = await service.import_caseload(None, clinic_id, await request.body(), dry_run=dry_run)
        except CaseloadRejected as error:
            raise _caseload_problem(error.errors) from None
        return ImportView(
            rows=result.row_count,
            started=result.started_count,
            already_known=result.already_known_count,
            dry_run=dry_run,
        )

    return router


def _caseload_problem(errors: list[RowError]) -> Problem:
    total = len(errors)
    detail = f"Nothing was imported, because the file has errors ({total}). Correct them and send the file again."
    if total > MAX_LISTED_ERRORS:
        detail += f" The first {MAX_LISTED_ERRORS} are listed."
    listed_errors = [
        FieldError(pointer=_json_pointer(error), detail=error.detail) for error in errors[:MAX_LISTED_ERRORS]
    ]
    problem = Problem(422, "caseload-not-valid", "The caseload is not valid", detail, listed_errors)
    problem.details = CaseloadProblemDetails(**problem.details.model_dump(), total=total)
    return problem


def _json_pointer(error: RowError) -> str:
    return f"/rows/{error.row}" if error.column is None else f"/rows/{error.row}/{error.column}"
