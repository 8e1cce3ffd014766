"""The import of a caseload file is atomic and idempotent."""

import asyncio
import time
from uuid import UUID, uuid4

import pytest

from shared.events import ConsentGiven, RelationshipStarted
from shared.events.topics import INTAKE
from tests.support.intake_client import STARTED_AT, IntakeClient, make_csv, problem_code
from tests.support.kafka_reader import read_records
from tests.support.serving import ServiceClient, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_file_starts_its_relationships_and_a_repetition_changes_nothing(clinic: IntakeClient) -> None:
    await clinic.set_up()
    rows = [clinic.make_row(n) for n in range(5)]

    first = await clinic.import_caseload(make_csv(rows))
    second = await clinic.import_caseload(make_csv(rows, delimiter=";"))

    assert first.json() == {"rows": 5, "started": 5, "already_known": 0, "dry_run": False}
    assert second.json() == {"rows": 5, "started": 0, "already_known": 5, "dry_run": False}
    started, consent_given = await clinic.wait_for_events(UUID(rows[3]["relationship_id"]), at_least=2)
    assert isinstance(started, RelationshipStarted)
    assert isinstance(consent_given, ConsentGiven)
    assert (started.clinic_id, started.case_code, started.occurred_at) == (clinic.clinic_id, "C-3", STARTED_AT)
    assert len((await clinic.list_relationships())["relationships"]) == 6


async def test_imported_records_behave_like_those_added_over_the_api(clinic: IntakeClient) -> None:
    await clinic.set_up()
    row = clinic.make_row(1)
    await clinic.import_caseload(make_csv([row]))

    client_id, relationship_id = UUID(row["client_id"]), UUID(row["relationship_id"])
    assert (await clinic.add_client(client_id, case_code="C-1")).status_code == 200
    assert (await clinic.start_relationship(relationship_id, client_id=str(client_id))).status_code == 200
    assert problem_code(await clinic.add_client(uuid4(), case_code="C-1"), 409) == "case-code-taken"
    clinic.relationship_id = relationship_id
    assert (await clinic.update_aims(["loss"], STARTED_AT.replace(month=2))).status_code == 200
    assert len(await clinic.wait_for_events(relationship_id, at_least=3)) == 3


async def test_records_added_over_the_api_are_known_to_an_import(clinic: IntakeClient) -> None:
    await clinic.set_up()
    ids = {"relationship_id": str(clinic.relationship_id), "client_id": str(clinic.client_id), "case_code": "AB-12"}

    response = await clinic.import_caseload(make_csv([clinic.make_row(1, **ids)]))

    assert response.json() == {"rows": 1, "started": 0, "already_known": 1, "dry_run": False}


async def test_a_dry_run_returns_the_result_and_changes_nothing(clinic: IntakeClient) -> None:
    await clinic.set_up()
    rows = [clinic.make_row(n) for n in range(3)]

    response = await clinic.import_caseload(b"\xef\xbb\xbf" + make_csv(rows, delimiter="\t"), dry_run=True)

    assert response.json() == {"rows": 3, "started": 3, "already_known": 0, "dry_run": True}
    assert len((await clinic.list_relationships())["relationships"]) == 1
    assert (await clinic.add_client(uuid4(), case_code="C-1")).status_code == 200


async def test_one_invalid_row_rejects_the_whole_file_and_every_error_is_listed(clinic: IntakeClient) -> None:
    await clinic.set_up()
    rows = [
        clinic.make_row(1),
        clinic.make_row(2, consent="maybe", cadence_days="0"),
        clinic.make_row(3, clinician_id=str(uuid4())),
        clinic.make_row(4, case_code="AB-12"),
        clinic.make_row(5, started_at="2026-01-05T10:00"),
    ]

    for dry_run in (True, False):
        response = await clinic.import_caseload(make_csv(rows), dry_run=dry_run)

        assert problem_code(response, 422) == "caseload-not-valid"
        body = response.json()
        assert [error["pointer"] for error in body["errors"]] == [
            "/rows/3/cadence_days",
            "/rows/3/consent",
            "/rows/4/clinician_id",
            "/rows/5/case_code",
            "/rows/6/started_at",
        ]
        assert body["total"] == 5
    assert len((await clinic.list_relationships())["relationships"]) == 1


async def test_the_first_hundred_errors_are_listed_and_all_are_counted(clinic: IntakeClient) -> None:
    await clinic.set_up()

    response = await clinic.import_caseload(make_csv([clinic.make_row(n, consent="?") for n in range(130)]))

    body = response.json()
    assert (len(body["errors"]), body["total"]) == (100, 130)
    assert "first 100" in body["detail"]


async def test_a_file_with_an_unknown_delimiter_is_rejected_with_the_valid_ones(clinic: IntakeClient) -> None:
    await clinic.set_up()

    response = await clinic.import_caseload(make_csv([clinic.make_row(1)], delimiter="/"))

    assert [error["pointer"] for error in response.json()["errors"]] == ["/rows/1"]
    assert "comma, semicolon or tab" in response.json()["errors"][0]["detail"]


async def test_only_csv_for_a_known_clinic_is_accepted(clinic: IntakeClient) -> None:
    content = make_csv([clinic.make_row(1)])

    assert problem_code(await clinic.import_caseload(content), 404) == "unknown-clinic"
    await clinic.save_clinic()
    path = f"/clinics/{clinic.clinic_id}/caseload"
    response = await clinic.http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert problem_code(response, 415) == "not-csv"
    response = await clinic.import_caseload(b"x" * 4_000_001)
    assert problem_code(response, 413) == "too-large"


async def test_a_file_that_is_sent_concurrently_is_imported_once(clinic: IntakeClient) -> None:
    await clinic.set_up()
    rows = [clinic.make_row(n) for n in range(50)]

    responses = await asyncio.gather(*(clinic.import_caseload(make_csv(rows)) for _ in range(3)))

    assert {response.status_code for response in responses} == {200}
    assert sorted(response.json()["started"] for response in responses) == [0, 0, 50]
    assert len(await clinic.wait_for_events(UUID(rows[0]["relationship_id"]), at_least=2)) == 2


async def test_five_thousand_rows_are_imported_within_the_time_limit_of_a_transaction(
    clinic: IntakeClient, service: ServiceClient
) -> None:
    """MongoDB aborts a transaction after 60 seconds. The service must answer other requests meanwhile."""
    await clinic.set_up()
    rows = [clinic.make_row(n) for n in range(5000)]
    keys = {row["relationship_id"].encode() for row in rows}
    longest_response_seconds = 0.0

    started_at = time.monotonic()
    import_task = asyncio.create_task(clinic.import_caseload(make_csv(rows)))
    while not import_task.done():
        requested_at = time.monotonic()
        (await service.get_ops("/health/live")).raise_for_status()
        longest_response_seconds = max(longest_response_seconds, time.monotonic() - requested_at)
    import_seconds = time.monotonic() - started_at

    async def all_published() -> bool:
        body = await read_records(clinic.kafka_servers, INTAKE)
        return len({record.value for record in body if record.key in keys}) == 10_000  # duplicates are identical

    await wait_until(all_published, timeout_seconds=60)
    assert (await import_task).json() == {"rows": 5000, "started": 5000, "already_known": 0, "dry_run": False}
    assert import_seconds < 30
    assert longest_response_seconds < 5  # a container's health check waits no longer
