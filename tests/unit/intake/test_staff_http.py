"""The HTTP API of a clinic's staff."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from services.intake.http.api import routes
from services.intake.http.staff_api import staff_routes
from services.intake.metrics import IntakeMetrics
from services.intake.service.caseload import CaseloadService
from services.intake.service.people import PeopleService
from services.intake.service.relationships import RelationshipService
from services.intake.service.staff import RecordedStaff, StaffService
from services.intake.store.memory import InMemoryStore
from shared.http.app import create_base_app
from shared.runtime.settings import HttpLimits
from shared.staff.cache import CachedStaff
from tests.support.intake_builders import NOW
from tests.support.intake_client import IntakeClient, problem_code
from tests.unit.intake.conftest import no_lifespan

UNTIL = "2026-03-20T08:00:00Z"


async def _remove_account(_person_id: UUID) -> None:
    """Nobody signs in."""


@pytest.fixture
async def clinic(store: InMemoryStore) -> AsyncIterator[IntakeClient]:
    """A clinic with a clinician."""
    registry = CollectorRegistry()
    metrics = IntakeMetrics(registry)
    app = create_base_app("intake", "", HttpLimits(1_000_000), no_lifespan, registry)
    parts = store, metrics, lambda: NOW
    app.include_router(routes(PeopleService(*parts), RelationshipService(*parts), CaseloadService(*parts)))
    staff_service = StaffService(
        store, CachedStaff(RecordedStaff(store)), metrics, lambda: NOW, lambda: "abc", lambda _: "hash", _remove_account
    )
    app.include_router(staff_routes(staff_service, "https://attune.example"))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http:
        clinic = IntakeClient(http, kafka_servers="")
        await clinic.set_up()
        yield clinic


async def put(clinic: IntakeClient, path: str, **body: Any) -> httpx2.Response:
    return await clinic.put(f"/clinics/{clinic.clinic_id}{path}", **body)


async def add(clinic: IntakeClient, *roles: str, clinician_id: UUID | None = None) -> UUID:
    person_id = uuid4()
    clinician = {} if clinician_id is None else {"clinician_id": str(clinician_id)}
    (await put(clinic, f"/people/{person_id}", roles=roles, **clinician)).raise_for_status()
    return person_id


async def test_a_person_is_added_and_removed(clinic: IntakeClient) -> None:
    person_id = uuid4()

    response = await put(clinic, f"/people/{person_id}", roles=["clinician"], clinician_id=str(clinic.clinician_id))

    assert response.json() == {
        "person_id": str(person_id),
        "clinic_id": str(clinic.clinic_id),
        "roles": ["clinician"],
        "clinician_id": str(clinic.clinician_id),
    }
    for _ in range(2):
        response = await clinic.http.delete(f"/clinics/{clinic.clinic_id}/people/{person_id}")
        assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("roles", [[], ["desk", "desk"], ["deputy"], ["everything"], ["desk"] * 10_000])
async def test_roles_are_those_that_can_be_assigned_each_once(clinic: IntakeClient, roles: list[str]) -> None:
    assert (await put(clinic, f"/people/{uuid4()}", roles=roles)).status_code == 422


async def test_the_link_of_an_invitation_is_in_one_answer_only(clinic: IntakeClient) -> None:
    person_id = await add(clinic, "desk")

    response = await put(clinic, f"/people/{person_id}/invitation")

    assert response.json() == {
        "person_id": str(person_id),
        "link": "https://attune.example/invitations/abc",
        "expires_at": "2026-03-09T09:00:00Z",
    }
    assert response.headers["cache-control"] == "no-store"
    assert "abc" not in (await put(clinic, f"/people/{person_id}", roles=["ops"])).text


async def test_deputies_supervisors_and_the_lead_are_replaced(clinic: IntakeClient) -> None:
    other_clinician = uuid4()
    (await clinic.register_clinician(other_clinician)).raise_for_status()
    person_id = str(await add(clinic, "clinician", "supervisor", clinician_id=other_clinician))
    clinician = f"/clinicians/{clinic.clinician_id}"
    deputy = {"person_id": person_id, "from_at": "2026-03-06T08:00:00Z", "until_at": UNTIL}
    supervisor = {**deputy, "until_at": None}

    deputies = await put(clinic, f"{clinician}/deputies", deputies=[deputy])
    supervisors = await put(clinic, f"{clinician}/supervisors", supervisors=[supervisor])
    lead = await put(clinic, "/lead", person_id=person_id)

    assert deputies.json() == {"clinician_id": str(clinic.clinician_id), "deputies": [deputy]}
    assert supervisors.json() == {"clinician_id": str(clinic.clinician_id), "supervisors": [supervisor]}
    assert lead.json() == {"clinic_id": str(clinic.clinic_id), "person_id": person_id}
    assert (await put(clinic, "/lead", person_id=None)).json()["person_id"] is None
    assert (await put(clinic, f"{clinician}/deputies", deputies=[])).json()["deputies"] == []
    too_many = await put(clinic, f"{clinician}/deputies", deputies=[deputy] * 21)
    assert too_many.status_code == 422


async def test_what_is_rejected_says_what_to_do(clinic: IntakeClient) -> None:
    administrator = await add(clinic, "administrator")
    person = f"/clinics/{clinic.clinic_id}/people"

    assert problem_code(await clinic.http.delete(f"{person}/{administrator}"), 409) == "last-administrator"
    assert problem_code(await clinic.http.delete(f"{person}/{uuid4()}"), 404) == "unknown-person"
    assert problem_code(await put(clinic, f"/people/{uuid4()}", roles=["clinician"]), 422) == "clinician-missing"
    assert problem_code(await put(clinic, "/lead", person_id=str(administrator)), 409) == "no-supervisor"
    unknown = await clinic.put(f"/clinics/{uuid4()}/people/{uuid4()}", roles=["desk"])
    assert problem_code(unknown, 404) == "unknown-clinic"
