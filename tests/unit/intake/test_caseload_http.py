"""The route that imports a caseload file, on a store in memory: what spreadsheets may send."""

from uuid import uuid4

import pytest

from services.intake.domain.caseload_csv import COLUMNS
from tests.support.intake_client import IntakeClient, make_csv, row_errors


async def move_clinic(clinic: IntakeClient, time_zone: str) -> None:
    body = {"name": "Elm", "crisis_contact": "the desk", "time_zone": time_zone}
    (await clinic.put(f"/clinics/{clinic.clinic_id}", **body)).raise_for_status()


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu", "Etc/GMT+12"])
async def test_a_day_is_the_same_day_after_the_time_zone_of_the_clinic_changed(clinic: IntakeClient, zone: str) -> None:
    row = clinic.make_row(1, started_at="2026-01-05")
    assert (await clinic.import_caseload(make_csv([row]))).json()["started"] == 1

    await move_clinic(clinic, zone)

    assert (await clinic.import_caseload(make_csv([row]))).json()["already_known"] == 1
    for other in ("2026-01-04", "2026-01-06", "2026-01-05T12:00:00Z"):
        assert row_errors(await clinic.import_caseload(make_csv([{**row, "started_at": other}]))) == [
            "/rows/2/relationship_id"
        ]


@pytest.mark.parametrize(
    ("before", "delimiter", "header_row"),
    [
        (b"\r\n", ";", 2),
        (b";;;;;;;\r\n\r\n", ";", 3),
        (b"\n\n\n", "\t", 4),
        (b"sep=;\r\n", ";", 1),
        (b'\xef\xbb\xbf"sep=,"\r\n', ",", 1),
        (b"SEP=;;;;;;;;\n", ";", 1),
        (b"sep=\t\r\n", "\t", 1),
    ],
)
async def test_what_spreadsheets_write_before_the_header_is_passed_over(
    clinic: IntakeClient, before: bytes, delimiter: str, header_row: int
) -> None:
    rows = [clinic.make_row(1), clinic.make_row(2, consent="maybe")]

    response = await clinic.import_caseload(before + make_csv(rows, delimiter))

    assert row_errors(response) == [f"/rows/{header_row + 2}/consent"]
    assert (await clinic.import_caseload(before + make_csv(rows[:1], delimiter))).json()["started"] == 1


async def test_columns_without_a_name_may_be_empty_wherever_they_are(clinic: IntakeClient) -> None:
    rows = [clinic.make_row(1), clinic.make_row(2)]
    lines = [",".join(COLUMNS), *(",".join(row.values()) for row in rows)]

    for content in (
        "".join(f"{line},\r\n" for line in lines),
        "".join(f"{line},,\r\n" for line in lines),
        "".join(f",{line}\r\n" for line in lines),
        f"{lines[0]},\r\n{lines[1]}\r\n{lines[2]},,,\r\n",
    ):
        assert (await clinic.import_caseload(content.encode())).json()["rows"] == 2
    filled = f"{lines[0]},\r\n{lines[1]},\r\n{lines[2]},x\r\n"
    assert row_errors(await clinic.import_caseload(filled.encode())) == ["/rows/3"]


async def test_the_same_two_people_cannot_be_in_one_file_twice(clinic: IntakeClient) -> None:
    row = clinic.make_row(1)
    again = {**row, "relationship_id": str(uuid4())}

    response = await clinic.import_caseload(make_csv([row, again]))

    assert row_errors(response) == ["/rows/3/relationship_id"]
    assert row["relationship_id"] in response.json()["errors"][0]["detail"]
