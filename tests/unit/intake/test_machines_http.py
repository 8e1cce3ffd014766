"""The HTTP API of a clinic's machines."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from services.intake.http.machines_api import machine_routes
from shared.http.app import create_base_app
from shared.identity.machines import Machines
from shared.identity.store.memory import InMemoryIdentityStore
from shared.runtime.settings import HttpLimits
from tests.support.intake_builders import NOW
from tests.support.intake_client import problem_code
from tests.support.staff_builders import CLINIC, OTHER_CLINIC
from tests.unit.intake.conftest import no_lifespan

ISSUER = "https://issuer.example"


@pytest.fixture
def machines() -> Machines:
    return Machines(InMemoryIdentityStore(), ISSUER, lambda: NOW)


@pytest.fixture
async def http(machines: Machines) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_base_app("intake", "", HttpLimits(1_000_000), no_lifespan, CollectorRegistry())
    app.include_router(machine_routes(machines))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as http:
        yield http


def body(**overrides: Any) -> dict[str, Any]:
    return {"client_id": "records-system", "scopes": ["sessions", "intake"], **overrides}


async def test_a_machine_is_added_and_revoked(http: httpx2.AsyncClient, machines: Machines) -> None:
    machine_id = uuid4()
    path = f"/clinics/{CLINIC}/machines/{machine_id}"

    response = await http.put(path, json=body())

    assert response.json() == {
        "machine_id": str(machine_id),
        "clinic_id": str(CLINIC),
        "client_id": "records-system",
        "scopes": ["intake", "sessions"],
    }
    assert (found := await machines.find(ISSUER, "records-system"))
    assert (found.machine_id, found.clinic_id) == (machine_id, CLINIC)
    for _ in range(2):
        assert (await http.delete(path)).status_code == 204
    assert await machines.find(ISSUER, "records-system") is None


async def test_a_clinic_can_take_neither_the_machine_nor_the_client_of_another_one(
    http: httpx2.AsyncClient, machines: Machines
) -> None:
    machine_id = uuid4()
    await http.put(f"/clinics/{CLINIC}/machines/{machine_id}", json=body())

    same_id = await http.put(f"/clinics/{OTHER_CLINIC}/machines/{machine_id}", json=body(client_id="mine"))
    same_client = await http.put(f"/clinics/{OTHER_CLINIC}/machines/{uuid4()}", json=body())
    await http.delete(f"/clinics/{OTHER_CLINIC}/machines/{machine_id}")

    assert problem_code(same_id, 409) == "id-taken"
    assert problem_code(same_client, 409) == "account-taken"
    assert (found := await machines.find(ISSUER, "records-system"))
    assert found.clinic_id == CLINIC


@pytest.mark.parametrize(
    "wrong", [{"scopes": []}, {"scopes": ["intake", "intake"]}, {"scopes": ["everything"]}, {"client_id": ""}]
)
async def test_a_machine_has_a_client_id_and_known_scopes(http: httpx2.AsyncClient, wrong: dict[str, Any]) -> None:
    response = await http.put(f"/clinics/{CLINIC}/machines/{uuid4()}", json=body(**wrong))

    assert response.status_code == 422
