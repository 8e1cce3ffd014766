"""What we answer: the intake desk and clinic systems. Every request is safe to send again."""

from functools import cache
from typing import Annotated
from uuid import UUID
from zoneinfo import available_timezones

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, BaseModel, StringConstraints

from services.intake.domain.caseload_csv import Wrong as WrongCell
from services.intake.domain.people import Clinic
from services.intake.domain.relationships import Agreement, Aims, CadenceDays, Consent, OwnEndReason, Relationship
from services.intake.service import Desk, FileRefused
from shared.events import CaseCode, EndReason, Moment, TimeZone
from shared.http.problems import Problem, ProblemDetails, Wrong
from shared.http.request_body import Body

MOST_SHOWN = 100
"""As many things wrong in a file are listed; with more, the first ones show what kind of thing it is."""
MOST_LISTED = 1000
CSV = "text/csv"


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _is_real(zone: str) -> str:
    if zone not in _zones():
        raise ValueError("is no time zone of the IANA database; for instance Europe/Berlin")
    return zone


RealTimeZone = Annotated[TimeZone, AfterValidator(_is_real)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Contact = Annotated[str, StringConstraints(pattern=r"^[^@\s]{1,64}@[^@\s]+\.[^@\s.]+$", max_length=254)]


class ClinicBody(Body):
    name: Words
    time_zone: RealTimeZone
    crisis_contact: Words
    """Whom a client in a crisis turns to."""


class ClinicianBody(Body):
    clinic_id: UUID
    contact: Contact
    """An e-mail address; it is kept here and shown nowhere."""
    time_zone: RealTimeZone


class ClientBody(Body):
    clinic_id: UUID
    case_code: CaseCode


class RelationshipBody(Body):
    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    started_at: Moment
    aims: Aims
    cadence_days: CadenceDays
    consent: bool


class AimsBody(Body):
    aims: Aims
    agreed_at: Moment


class ConsentBody(Body):
    given: bool
    at: Moment


class EndBody(Body):
    reason: OwnEndReason
    at: Moment


class TransferBody(Body):
    clinician_id: UUID
    relationship_id: UUID
    """The id of the relationship that follows."""
    at: Moment


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
    started_at: Moment
    aims: Aims
    aims_agreed_at: Moment
    cadence_days: CadenceDays
    consent: bool
    consent_changed_at: Moment | None
    """None as long as the client has not agreed."""
    predecessor_id: UUID | None
    ended_at: Moment | None
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


class CaseloadProblem(ProblemDetails):
    """What is wrong in a caseload file."""

    total: int
    """How many things are wrong; `errors` holds the first of them."""


def routes(desk: Desk) -> APIRouter:
    """Every route of the service."""
    router = APIRouter()
    router.include_router(_people(desk))
    router.include_router(_relationships(desk))
    router.include_router(_caseload(desk))
    return router


def _people(desk: Desk) -> APIRouter:
    router = APIRouter(tags=["people"])

    @router.put("/clinics/{clinic_id}")
    async def open_clinic(clinic_id: UUID, body: ClinicBody) -> Clinic:
        """Enter a clinic under an id that you choose, or change what is known of it."""
        return await desk.open_clinic(Clinic(clinic_id=clinic_id, **body.model_dump()))

    @router.put("/clinicians/{clinician_id}")
    async def register(clinician_id: UUID, body: ClinicianBody) -> ClinicianView:
        """Register a clinician under an id that you choose, or change what is known of them."""
        clinician = await desk.register(clinician_id, body.clinic_id, body.contact, body.time_zone)
        return ClinicianView.model_validate(clinician.model_dump())

    @router.put("/clients/{client_id}")
    async def admit(client_id: UUID, body: ClientBody) -> ClientView:
        """Enter a client under an id and a case code that you choose; no other client of the clinic may have it."""
        client = await desk.admit(client_id, body.clinic_id, body.case_code)
        return ClientView.model_validate(client.model_dump())

    return router


def _relationships(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/relationships/{relationship_id}", tags=["relationships"])

    @router.get("")
    async def relationship(relationship_id: UUID) -> RelationshipView:
        """A relationship as it is now."""
        return RelationshipView.of(await desk.find(relationship_id))

    @router.put("")
    async def begin(relationship_id: UUID, body: RelationshipBody) -> RelationshipView:
        """Start a relationship under an id that you choose."""
        return RelationshipView.of(await desk.begin(relationship_id, **dict(body)))

    @router.put("/aims")
    async def agree(relationship_id: UUID, body: AimsBody) -> RelationshipView:
        """The two agreed anew on what the therapy is for."""
        return RelationshipView.of(await desk.agree(relationship_id, Agreement(**dict(body))))

    @router.put("/consent")
    async def hear_client(relationship_id: UUID, body: ConsentBody) -> RelationshipView:
        """The client agrees to be asked about the sessions, or no longer does."""
        return RelationshipView.of(await desk.hear_client(relationship_id, Consent(**dict(body))))

    @router.post("/end")
    async def end(relationship_id: UUID, body: EndBody) -> RelationshipView:
        """The two no longer work together, and nobody follows; otherwise transfer."""
        return RelationshipView.of(await desk.end(relationship_id, body.reason, body.at))

    @router.post("/transfer")
    async def transfer(relationship_id: UUID, body: TransferBody) -> TransferView:
        """The client goes on with another clinician of the clinic, with the same aims, cadence and consent."""
        ended, started = await desk.transfer(relationship_id, body.relationship_id, body.clinician_id, body.at)
        return TransferView(ended=RelationshipView.of(ended), started=RelationshipView.of(started))

    return router


def _caseload(desk: Desk) -> APIRouter:
    router = APIRouter(prefix="/clinics/{clinic_id}", tags=["caseload"])

    @router.get("/relationships")
    async def listed(
        clinic_id: UUID, after: UUID | None = None, most: Annotated[int, Query(ge=1, le=MOST_LISTED)] = MOST_LISTED
    ) -> CaseloadView:
        """A clinic's relationships, ended ones too."""
        relationships = await desk.caseload(clinic_id, after, most + 1)
        return CaseloadView(
            relationships=[RelationshipView.of(one) for one in relationships[:most]],
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
            result = await desk.import_caseload(clinic_id, await request.body(), dry_run=dry_run)
        except FileRefused as error:
            raise _told_where(error.wrong) from None
        return ImportView(rows=result.rows, started=result.started, already_known=result.already_known, dry_run=dry_run)

    return router


def _told_where(wrong: list[WrongCell]) -> Problem:
    total = len(wrong)
    detail = f"Nothing was imported, for the file has faults ({total}). Correct them, and send it again."
    if total > MOST_SHOWN:
        detail += f" The first {MOST_SHOWN} are listed."
    listed_errors = [Wrong(pointer=_pointer(error), detail=error.detail) for error in wrong[:MOST_SHOWN]]
    problem = Problem(422, "caseload-not-valid", "The caseload is not valid", detail, listed_errors)
    problem.details = CaseloadProblem(**problem.details.model_dump(), total=total)
    return problem


def _pointer(wrong: WrongCell) -> str:
    return f"/rows/{wrong.row}" if wrong.column is None else f"/rows/{wrong.row}/{wrong.column}"
