"""A small service whose routes ask for access as those of the real services do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry

from shared.access.clinic_id import ClinicId
from shared.access.requests import Access, CurrentGrant
from shared.access.roles import Role
from shared.access.routes import require_rows
from shared.access.table import Row
from shared.access.target import Target
from shared.errors import NotFound, Rejected, StoreUnavailable
from shared.http.app import create_base_app
from shared.identity.principal import Machine, Person, Principal
from shared.runtime.settings import HttpLimits
from tests.support.access import FakeStaff
from tests.unit.shared.access.clinic_world import CLINIC, COLLEAGUE, ME, MY_CLINICIAN, NOW, OTHER_CLINIC, staff

ROWS = (
    Row(
        "sessions",
        "read_note",
        "GET",
        "/notes/{note_id}",
        {"clinician": "own", "deputy": "deputized", "supervisor": "supervised"},
        scope="sessions",
        reduced_roles=frozenset({"deputy"}),
    ),
    Row("sessions", "read_earlier_note", "GET", "/notes/{note_id}", {"supervisor": "supervised"}),
    Row("sessions", "sign_note", "PUT", "/notes/{note_id}/status", {"clinician": "own"}),
    Row("sessions", "strike_note", "PUT", "/notes/{note_id}/status", {"clinician": "own", "administrator": "clinic"}),
    Row("sessions", "delete_note", "DELETE", "/notes/{note_id}", {"administrator": "clinic"}),
    Row(
        "sessions",
        "list_notes",
        "GET",
        "/clinics/{clinic_id}/notes",
        {"clinician": "own", "supervisor": "supervised"},
        scope="sessions",
    ),
    Row("sessions", "open_client_form", "GET", "/f/{token}", {}, is_public=True),
    Row("sessions", "open_clinician_form", "GET", "/f/{token}", {"clinician": "own"}, is_page=True),
    Row("alliance", "delete_other_note", "DELETE", "/notes/{note_id}", {"desk": "clinic"}),
    Row("alliance", "read_other_note", "GET", "/other-notes/{note_id}", {"desk": "clinic"}),
)


class SignedOut(Rejected):
    """The login session is over."""

    def __init__(self) -> None:
        super().__init__("unauthenticated", "Sign in.")


@dataclass
class FakeAuthentication:
    """Knows the principal by a header; can sign everybody out, and can be away."""

    principals: dict[str, Principal] = field(default_factory=dict)
    is_away: bool = False

    async def authenticate(self, request: Request) -> Principal:
        if self.is_away:
            raise StoreUnavailable
        try:
            return self.principals[request.headers["authorization"]]
        except KeyError:
            raise SignedOut from None

    async def require_current(self, principal: Principal) -> None:
        if self.is_away:
            raise StoreUnavailable
        if principal not in self.principals.values():
            raise SignedOut


@dataclass
class FakeStaffSource:
    """The staff of one clinic; the others have none."""

    staff: FakeStaff
    is_away: bool = False
    reads: int = 0

    async def of(self, clinic: ClinicId) -> FakeStaff:
        self.reads += 1
        if self.is_away:
            raise StoreUnavailable
        return self.staff if clinic == CLINIC else FakeStaff()


@dataclass
class Clock:
    """Stands still until it is moved; each reading can move it."""

    at: datetime = NOW
    step: timedelta = timedelta()

    def __call__(self) -> datetime:
        self.at += self.step
        return self.at


@dataclass
class NoteService:
    """What the requests meet, for a test to look at and to change."""

    staff: FakeStaff
    notes: dict[UUID, Target] = field(default_factory=dict)
    lookups: int = 0
    grants: list[Any] = field(default_factory=list)
    authentication: FakeAuthentication = field(default_factory=FakeAuthentication)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.source = FakeStaffSource(self.staff)
        self.access = Access("sessions", self.authentication, self.source, self.clock, ROWS, recheck_seconds=0)

    def add(self, target: Target) -> UUID:
        note_id = uuid4()
        self.notes[note_id] = target
        return note_id

    def sign_in(self, chosen_role: Role | None = None, clinic: ClinicId = CLINIC) -> dict[str, str]:
        self.authentication.principals["me"] = Person(ME, clinic, "login", chosen_role)
        return {"authorization": "me"}

    def send_as(self, machine: Machine) -> dict[str, str]:
        self.authentication.principals["machine"] = machine
        return {"authorization": "machine"}

    def find(self, clinic: ClinicId, note_id: UUID) -> Target:
        """As a store does: what another clinic has does not exist."""
        self.lookups += 1
        target = self.notes.get(note_id)
        if target is None or target.clinic_id != clinic:
            raise unknown_note(note_id)
        return target

    @asynccontextmanager
    async def open(self) -> AsyncIterator[httpx2.AsyncClient]:
        transport = httpx2.ASGITransport(create_app(self))
        async with httpx2.AsyncClient(transport=transport, base_url="http://notes") as client:
            yield client


def unknown_note(note_id: UUID) -> NotFound:
    return NotFound("unknown-note", f"Note {note_id} is not known.")


def create_app(service: NoteService) -> FastAPI:
    """The application, as the composition root of a service builds it."""

    async def authorize(request: Request) -> None:
        await service.access.authorize(request)
        service.grants.append(request.state.grant)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield

    limits, registry = HttpLimits(max_body_bytes=1_000), CollectorRegistry()
    app = create_base_app("Notes", "Notes.", limits, lifespan, registry, authorize=authorize)
    _add_note_routes(app, service)
    _add_other_routes(app, service)
    require_rows(app, "sessions", ROWS)
    return app


def _add_note_routes(app: FastAPI, service: NoteService) -> None:
    @app.get("/notes/{note_id}")
    async def read_note(note_id: UUID, grant: CurrentGrant, earlier: UUID | None = None) -> dict[str, Any]:
        await grant.begin("read_note")
        await grant.require(service.find(grant.clinic_id, note_id), unknown_note(note_id))
        sees_earlier = earlier is not None and grant.allows(service.notes[earlier], "read_earlier_note")
        return {"role": grant.acting_role, "is_reduced": grant.is_reduced, "sees_earlier": sees_earlier}

    @app.put("/notes/{note_id}/status")
    async def change_status(note_id: UUID, status: str, grant: CurrentGrant) -> dict[str, Any]:
        if status != "forgotten":
            await grant.begin(status)
        await grant.require(service.find(grant.clinic_id, note_id), unknown_note(note_id))
        return {"role": grant.acting_role}

    @app.delete("/notes/{note_id}")
    async def delete_note(note_id: UUID, grant: CurrentGrant) -> dict[str, Any]:
        await grant.require(service.find(grant.clinic_id, note_id), unknown_note(note_id))
        return {}


def _add_other_routes(app: FastAPI, service: NoteService) -> None:
    @app.get("/clinics/{clinic_id}/notes")
    async def list_notes(clinic_id: UUID, grant: CurrentGrant) -> list[UUID]:
        await grant.require_clinic(clinic_id, NotFound("unknown-clinic", f"Clinic {clinic_id} is not known."))
        reach = grant.reach()
        return [
            note for note, target in service.notes.items() if target.clinic_id == clinic_id and reach.contains(target)
        ]

    @app.get("/f/{token}", response_class=PlainTextResponse)
    async def open_form(token: UUID, grant: CurrentGrant) -> str:
        target = service.notes[token]
        if target.clinician_id is None:
            await grant.begin("open_client_form")
            return "the form of the client"
        await grant.begin("open_clinician_form")
        await grant.require(target, unknown_note(token))
        return "the form of the clinician"


MINE = Target(CLINIC, MY_CLINICIAN)
A_COLLEAGUES = Target(CLINIC, COLLEAGUE)
OTHER_NOTE = Target(OTHER_CLINIC, uuid4())


def clinician() -> NoteService:
    """The service for a clinician who is a deputy, too."""
    return NoteService(staff("clinician"))


def problem(response: httpx2.Response) -> str:
    """The short name of what was wrong."""
    return str(response.json()["type"]).removeprefix("urn:attune:problem:")
