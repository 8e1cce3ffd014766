"""The intake API: a contradiction or an invalid request is rejected with its reason, and changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.intake_client import DAY, STARTED_AT, IntakeClient, make_csv, problem_code

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_rejected_transfer_ends_nothing(clinic: IntakeClient, other_clinic: IntakeClient) -> None:
    other_clinician_id = uuid4()
    await clinic.set_up()
    await other_clinic.set_up()
    at = STARTED_AT + DAY

    for clinician_id in (other_clinic.clinician_id, uuid4()):
        assert problem_code(await clinic.transfer_relationship(clinician_id, uuid4(), at), 404) == "unknown-clinician"
    await clinic.register_clinician(other_clinician_id)
    assert (
        problem_code(await clinic.transfer_relationship(other_clinician_id, other_clinic.relationship_id, at), 409)
        == "id-taken"
    )
    assert (await clinic.http.get(f"/relationships/{clinic.relationship_id}")).json()["ended_at"] is None


async def test_an_ended_relationship_rejects_later_changes(clinic: IntakeClient) -> None:
    ben_id, later = uuid4(), STARTED_AT + 10 * DAY
    await clinic.set_up()
    await clinic.register_clinician(ben_id)
    await clinic.end_relationship("stopped_by_client", STARTED_AT + 9 * DAY)

    for response in (
        await clinic.update_aims(["loss"], later),
        await clinic.change_consent(False, later),
        await clinic.transfer_relationship(ben_id, uuid4(), later),
        await clinic.end_relationship("completed", STARTED_AT + 9 * DAY),
    ):
        assert problem_code(response, 409) == "relationship-ended"


async def test_an_end_recorded_by_mistake_is_corrected_by_the_route_that_the_refusal_names(
    clinic: IntakeClient,
) -> None:
    await clinic.set_up()
    await clinic.end_relationship("stopped_by_client", STARTED_AT + 9 * DAY)
    refused = await clinic.update_aims(["loss"], STARTED_AT + 10 * DAY)
    path = f"/relationships/{clinic.relationship_id}/end/corrections/{uuid4()}"
    assert path.rpartition("/")[0] in refused.json()["detail"]

    for _ in range(2):
        corrected = await clinic.put(path, end=None)
        assert (corrected.status_code, corrected.json()["ended_at"]) == (200, None)

    assert (await clinic.update_aims(["loss"], STARTED_AT + 10 * DAY)).status_code == 200


async def test_a_contradiction_is_rejected_with_its_reason(clinic: IntakeClient) -> None:
    await clinic.set_up()

    assert problem_code(await clinic.add_client(case_code="ZZ-99"), 409) == "other-case-code"
    assert problem_code(await clinic.add_client(uuid4()), 409) == "case-code-taken"
    response = await clinic.start_relationship(cadence_days=14)
    assert problem_code(response, 409) == "started-otherwise"
    assert "another cadence_days" in response.json()["detail"]
    await clinic.change_consent(False, STARTED_AT + DAY)
    assert problem_code(await clinic.change_consent(True, STARTED_AT + DAY), 409) == "said-since"


async def test_an_unknown_id_is_rejected_with_what_to_do(clinic: IntakeClient) -> None:
    assert problem_code(await clinic.register_clinician(), 404) == "unknown-clinic"
    assert problem_code(await clinic.add_client(), 404) == "unknown-clinic"
    await clinic.save_clinic()
    await clinic.register_clinician()
    response = await clinic.start_relationship()
    assert problem_code(response, 404) == "unknown-client"
    assert f"PUT /clients/{clinic.client_id}" in response.json()["detail"]
    await clinic.add_client()
    assert problem_code(await clinic.start_relationship(clinician_id=str(uuid4())), 404) == "unknown-clinician"
    assert problem_code(await clinic.start_relationship(clinic_id=str(uuid4())), 404) == "unknown-clinic"
    assert problem_code(await clinic.update_aims(["loss"], STARTED_AT), 404) == "unknown-relationship"
    assert problem_code(await clinic.http.get(f"/relationships/{uuid4()}"), 404) == "unknown-relationship"
    assert problem_code(await clinic.http.get(f"/clinics/{uuid4()}/relationships"), 404) == "unknown-clinic"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("started_at", "2026-01-05T10:00:00"),
        ("aims", []),
        ("aims", ["relief", "relief"]),
        ("aims", ["happiness"]),
        ("cadence_days", 0),
        ("consent", None),
        ("note", "anxious since March"),
    ],
)
async def test_an_invalid_relationship_is_rejected_with_the_invalid_field(
    clinic: IntakeClient, field: str, value: Any
) -> None:
    await clinic.set_up()

    response = await clinic.start_relationship(uuid4(), **{field: value})

    assert problem_code(response, 422) == "invalid-request"
    assert response.json()["errors"][0]["pointer"].startswith(f"/body/{field}")
    assert "anxious" not in response.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "../etc/passwd"),
        ("time_zone", "europe/berlin"),
        ("contact", "call me"),
        ("contact", "a@b"),
    ],
)
async def test_an_invalid_clinician_is_rejected_with_the_invalid_field(
    clinic: IntakeClient, field: str, value: str
) -> None:
    await clinic.save_clinic()

    response = await clinic.register_clinician(clinic.clinician_id, **{field: value})

    assert problem_code(response, 422) == "invalid-request"
    assert response.json()["errors"][0]["pointer"] == f"/body/{field}"
    assert value not in response.text


async def test_only_a_transfer_ends_a_relationship_as_transferred(clinic: IntakeClient) -> None:
    await clinic.set_up()

    assert problem_code(await clinic.end_relationship("transferred", STARTED_AT + DAY), 422) == "invalid-request"


@pytest.mark.parametrize("text", ["1901-01-01T00:30:00+01:00", "2199-12-31T23:30:00-01:00"])
async def test_a_year_that_is_implausible_in_utc_is_rejected_in_every_time_field(
    clinic: IntakeClient, text: str
) -> None:
    await clinic.set_up()
    moment = datetime.fromisoformat(text)

    for response in (
        await clinic.start_relationship(uuid4(), started_at=text),
        await clinic.update_aims(["loss"], moment),
        await clinic.change_consent(False, moment),
        await clinic.end_relationship("completed", moment),
        await clinic.transfer_relationship(uuid4(), uuid4(), moment),
        await clinic.import_caseload(make_csv([clinic.make_row(1, started_at=text)])),
    ):
        assert problem_code(response, 422) in ("invalid-request", "caseload-not-valid")


async def test_a_time_in_the_future_is_rejected(clinic: IntakeClient) -> None:
    await clinic.set_up()
    tomorrow = datetime.now(UTC) + DAY

    assert (
        problem_code(await clinic.start_relationship(uuid4(), started_at=tomorrow.isoformat()), 409) == "in-the-future"
    )
    assert problem_code(await clinic.end_relationship("completed", tomorrow), 409) == "in-the-future"
    assert (await clinic.end_relationship("completed", datetime.now(UTC) + timedelta(minutes=1))).status_code == 200
