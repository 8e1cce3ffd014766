"""The intake API says nothing about what belongs to another clinic: its ids are unknown, or taken."""

from uuid import UUID, uuid4

import httpx2
import pytest

from tests.support.intake_client import DAY, STARTED_AT, IntakeClient, make_csv, problem_code, row_errors

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


def without_id(response: httpx2.Response, record_id: UUID) -> tuple[int, str]:
    """The response to a request about `record_id`, without that id."""
    return response.status_code, response.text.replace(str(record_id), "")


async def test_a_clinician_or_client_of_another_clinic_is_as_if_unknown(
    clinic: IntakeClient, other_clinic: IntakeClient
) -> None:
    await clinic.set_up()
    await other_clinic.set_up()

    for field, foreign_id in (("clinician_id", other_clinic.clinician_id), ("client_id", other_clinic.client_id)):
        unknown_id = uuid4()
        foreign, unknown = [
            without_id(await clinic.start_relationship(uuid4(), **{field: str(record_id)}), record_id)
            for record_id in (foreign_id, unknown_id)
        ]
        assert foreign == unknown
        assert foreign[0] == 404

    foreign, unknown = [
        without_id(await clinic.transfer_relationship(record_id, uuid4(), STARTED_AT + DAY), record_id)
        for record_id in (other_clinic.clinician_id, uuid4())
    ]
    assert foreign == unknown
    assert foreign[0] == 404


async def test_an_id_of_another_clinic_is_taken_and_nothing_is_written(
    clinic: IntakeClient, other_clinic: IntakeClient
) -> None:
    await clinic.set_up()
    await other_clinic.set_up()
    client_id = uuid4()
    await clinic.add_client(client_id, case_code="AB-13")
    before = [await other_clinic.list_relationships(), await clinic.list_relationships()]

    answers = [
        await clinic.add_client(other_clinic.client_id, case_code="ZZ-99"),
        await clinic.add_client(other_clinic.client_id, case_code=None),
        await clinic.start_relationship(other_clinic.relationship_id, client_id=str(client_id)),
    ]

    assert {problem_code(answer, 409) for answer in answers} == {"id-taken"}
    assert len({answer.text for answer in answers}) == 1
    assert [await other_clinic.list_relationships(), await clinic.list_relationships()] == before
    assert (await other_clinic.add_client()).json()["case_code"] == "AB-12"
    assert (await clinic.add_client(uuid4(), case_code="ZZ-99")).status_code == 200  # the code was not assigned


async def test_an_import_refuses_ids_of_another_clinic_and_writes_nothing(
    clinic: IntakeClient, other_clinic: IntakeClient
) -> None:
    await clinic.set_up()
    await other_clinic.set_up()
    rows = [
        clinic.make_row(1),
        clinic.make_row(2, client_id=str(other_clinic.client_id)),
        clinic.make_row(3, relationship_id=str(other_clinic.relationship_id)),
        clinic.make_row(4, clinician_id=str(other_clinic.clinician_id)),
    ]

    for dry_run in (True, False):
        response = await clinic.import_caseload(make_csv(rows), dry_run=dry_run)
        assert row_errors(response) == ["/rows/3/client_id", "/rows/4/relationship_id", "/rows/5/clinician_id"]

    assert len((await clinic.list_relationships())["relationships"]) == 1


async def test_a_clinician_with_open_relationships_does_not_move_to_another_clinic(
    clinic: IntakeClient, other_clinic: IntakeClient
) -> None:
    await clinic.set_up()
    await other_clinic.set_up()

    refused = await clinic.register_clinician(clinic_id=str(other_clinic.clinic_id))
    await clinic.end_relationship("completed", STARTED_AT + DAY)
    moved = await clinic.register_clinician(clinic_id=str(other_clinic.clinic_id))

    assert problem_code(refused, 409) == "clinician-has-relationships"
    assert (moved.status_code, moved.json()["clinic_id"]) == (200, str(other_clinic.clinic_id))
