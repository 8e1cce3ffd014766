"""The simulated network sends each request as the one who would do it in a clinic."""

from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from tests.support.serving import run_app
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Clinic, SimulatedAnswer
from tools.sandbox.network.credentials import Invite
from tools.sandbox.network.ledger import Ledger
from tools.sandbox.network.parameters import Parameters
from tools.sandbox.network.staff import ClinicRole, StaffMember
from tools.sandbox.network.world import World
from tools.sandbox.servers.stack import SERVICES

WORLD = World(1, datetime(2026, 11, 24, 12, tzinfo=UTC), Parameters(relationships=5))
CLINIC, CLINICIAN = WORLD.clinics[0], WORLD.clinicians[0]
NOBODY = ""


@dataclass(frozen=True)
class Named(httpx2.Auth):
    """Says in a header who sends."""

    name: str

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["sender"] = self.name
        yield request


@dataclass
class NamedCredentials:
    """Everybody is let in under a name."""

    let_in_people: list[StaffMember] = field(default_factory=list)

    async def let_in_machine(self, clinic: Clinic) -> None:
        """It needs no invitation."""

    async def let_in_administrator(self, member: StaffMember) -> None:
        self.let_in_people.append(member)

    async def let_in(self, member: StaffMember, invite: Invite) -> None:
        assert await invite() == "https://attune.example/invitations/token"
        self.let_in_people.append(member)

    def machine(self, clinic_id: UUID) -> Named:
        assert clinic_id == CLINIC.id
        return Named("machine")

    def clinician(self, clinician_id: UUID) -> Named:
        assert clinician_id == CLINICIAN.id
        return Named("clinician")

    def person(self, clinic_id: UUID, role: ClinicRole) -> Named:
        assert clinic_id == CLINIC.id
        return Named(role)


@dataclass
class Network:
    """Clinic systems, and who sent which request to the services, which accept everything."""

    systems: ClinicSystems
    credentials: NamedCredentials
    senders: dict[str, str]
    """By method and path."""


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    app, senders, credentials = FastAPI(), dict[str, str](), NamedCredentials()

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])
    async def accept(path: str, request: Request) -> Response:
        if path != "health/ready":
            senders[f"{request.method} /{path}"] = request.headers.get("sender", NOBODY)
        alert = {"alert_id": "1", "status": "open", "shown": {}}
        url = f"{str(request.base_url).rstrip('/')}/f/{path.rpartition('/')[2]}"
        links = {"clinician_form": {"url": url}, "url": url, "link": "https://attune.example/invitations/token"}
        return JSONResponse({"alerts": [alert], **links})

    async with run_app(app) as http:
        urls = {service: [str(http.base_url).rstrip("/")] for service in SERVICES}
        async with ClinicSystems(urls, credentials, Ledger()) as systems:
            yield Network(systems, credentials, senders)


async def test_the_administrator_adds_the_clinic_and_its_people(network: Network) -> None:
    await network.systems.register_clinic(CLINIC)

    assert set(network.senders.values()) == {"administrator"}
    assert [member.role for member in network.credentials.let_in_people] == [
        *("administrator", "supervisor", "desk", "privacy_officer")
    ]
    assert f"PUT /clinics/{CLINIC.id}/lead" in network.senders


async def test_a_clinician_chooses_where_messages_are_sent(network: Network) -> None:
    await network.systems.register_clinician(CLINICIAN, "Europe/Berlin", "")

    path = f"/clinicians/{CLINICIAN.id}"
    assert network.senders[f"PUT {path}"] == "machine"
    assert network.senders[f"PUT {path}/channels"] == "clinician"
    assert set(network.senders.values()) == {"machine", "clinician", "administrator"}


async def test_the_clinic_s_system_enters_sessions_and_people_answer_their_own_forms(network: Network) -> None:
    course = next(course for course in WORLD.courses if course.sessions)
    course = replace(course, clinic_id=CLINIC.id, clinician_id=CLINICIAN.id)
    form_answer = SimulatedAnswer(None, {"trust": 5})
    session = replace(course.sessions[0], outcome="held", client=form_answer, clinician=form_answer)

    await network.systems.start_relationship(course)
    await network.systems.submit_session(course, session)

    forms = {request: sender for request, sender in network.senders.items() if " /f/" in request}
    assert forms == {
        **dict.fromkeys(("GET /f/client-link", "POST /f/client-link"), NOBODY),
        **dict.fromkeys(("GET /f/completion", "POST /f/completion"), "clinician"),
    }
    assert {sender for request, sender in network.senders.items() if request not in forms} == {"machine"}


async def test_a_clinician_opens_the_inbox_and_handles_alerts(network: Network) -> None:
    await network.systems.handle_next_alert(CLINICIAN.id)

    assert network.senders == {
        f"GET /clinicians/{CLINICIAN.id}/inbox": "clinician",
        "POST /alerts/1/acknowledgement": "clinician",
    }
