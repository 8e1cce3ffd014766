"""Every route has rows in the table; one with several operations says which is meant."""

from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI

from shared.access.routes import TableIncomplete, require_rows
from shared.access.target import Target
from tests.unit.shared.access.clinic_world import (
    CLINIC,
    staff,
)
from tests.unit.shared.access.note_app import A_COLLEAGUES, MINE, ROWS, NoteService, clinician, create_app, problem


async def test_each_operation_of_a_route_has_its_own_roles() -> None:
    service = NoteService(staff("administrator"))
    note = service.add(MINE)
    headers = service.sign_in()
    async with service.open() as client:
        strike = await client.put(f"/notes/{note}/status", params={"status": "strike_note"}, headers=headers)
        signs = [
            await client.put(f"/notes/{note_id}/status", params={"status": "sign_note"}, headers=headers)
            for note_id in (note, uuid4())
        ]

    assert strike.json() == {"role": "administrator"}
    assert [sign.status_code for sign in signs] == [403, 403]
    assert service.lookups == 1


async def test_a_handler_that_forgets_to_name_the_operation_allows_nothing() -> None:
    service = clinician()
    note = service.add(MINE)
    headers = service.sign_in()
    async with service.open() as client:
        with pytest.raises(LookupError, match="sign_note, strike_note"):
            await client.put(f"/notes/{note}/status", params={"status": "forgotten"}, headers=headers)


async def test_a_route_is_refused_as_a_whole_if_none_of_its_operations_is_allowed() -> None:
    service = NoteService(staff("desk"))
    headers = service.sign_in()
    async with service.open() as client:
        answer = await client.put(f"/notes/{uuid4()}/status", params={"status": "forgotten"}, headers=headers)

    assert answer.status_code == 403
    assert service.grants == []


async def test_the_rows_of_another_service_do_not_count() -> None:
    service = NoteService(staff("administrator"))
    note = service.add(MINE)
    headers = service.sign_in()
    async with service.open() as client:
        assert (await client.delete(f"/notes/{note}", headers=headers)).status_code == 200
        service.staff.roles = staff("desk").roles
        assert (await client.delete(f"/notes/{note}", headers=headers)).status_code == 403


async def test_a_form_of_a_client_opens_while_the_identity_database_is_away() -> None:
    service = clinician()
    form = service.add(Target(CLINIC))
    service.authentication.is_away = True
    async with service.open() as client:
        answer = await client.get(f"/f/{form}", headers=service.sign_in())

    assert answer.text == "the form of the client"
    assert service.grants[0].principal is None


async def test_a_form_of_a_clinician_needs_that_clinician() -> None:
    service = clinician()
    mine, other = service.add(MINE), service.add(A_COLLEAGUES)
    async with service.open() as client:
        signed_out = await client.get(f"/f/{mine}")
        headers = service.sign_in()
        own = await client.get(f"/f/{mine}", headers=headers)
        foreign = await client.get(f"/f/{other}", headers=headers)

    assert problem(signed_out) == "unauthenticated"
    assert own.text == "the form of the clinician"
    assert foreign.status_code == 404


async def test_a_route_without_a_row_neither_starts_nor_answers() -> None:
    service = clinician()
    app = create_app(service)
    headers = service.sign_in()

    @app.get("/export")
    async def export() -> str:
        return "everything"

    with pytest.raises(TableIncomplete, match="GET /export has no row"):
        require_rows(app, "sessions", ROWS)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://notes") as client:
        assert (await client.get("/export", headers=headers)).status_code == 403


def test_a_mounted_application_or_a_row_without_a_route_does_not_start() -> None:
    app = create_app(clinician())
    app.mount("/files", FastAPI(openapi_url=None))

    with pytest.raises(TableIncomplete, match=r"\* /files has no row"):
        require_rows(app, "sessions", ROWS)
    with pytest.raises(TableIncomplete, match=r"the row DELETE /notes/\{note_id\} has no route"):
        require_rows(FastAPI(openapi_url=None), "sessions", ROWS)
