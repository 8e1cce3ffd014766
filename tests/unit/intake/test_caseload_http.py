"""The route that imports a caseload file, on a store in memory: what spreadsheets may send."""

from itertools import islice
from uuid import UUID, uuid4

import pytest

from services.intake.domain.case_codes import choose_case_codes
from services.intake.domain.caseload_csv import COLUMNS
from services.intake.domain.import_plan import CASE_CODE_CHOICES
from tests.support.intake_client import IntakeClient, make_csv, row_errors


@pytest.mark.parametrize("has_column", [True, False])
async def test_the_server_chooses_a_case_code_for_a_row_that_has_none(clinic: IntakeClient, has_column: bool) -> None:
    rows = [clinic.make_row(number, case_code="") for number in range(3)]
    rows.append(clinic.make_row(3, client_id=str(clinic.client_id), clinician_id=str(uuid4()), case_code=""))
    await clinic.register_clinician(UUID(rows[3]["clinician_id"]))
    header = [name for name in COLUMNS if has_column or name != "case_code"]
    content = "\n".join([",".join(header), *(",".join(row[name] for name in header) for row in rows)]).encode()

    first, again = await clinic.import_caseload(content), await clinic.import_caseload(content)

    assert (first.json()["started"], again.json()["already_known"]) == (4, 4)
    relationships = (await clinic.list_relationships())["relationships"]
    codes = {r["relationship_id"]: r["case_code"] for r in relationships}
    for row in rows[:3]:
        assert codes[row["relationship_id"]] == next(choose_case_codes(UUID(row["client_id"])))
    assert codes[rows[3]["relationship_id"]] == "AB-12", "the code that the client has"


async def test_an_import_chooses_no_case_code_that_is_taken(clinic: IntakeClient) -> None:
    row = clinic.make_row(1, case_code="")
    first_choice, second_choice = islice(choose_case_codes(UUID(row["client_id"])), 2)
    await clinic.add_client(uuid4(), first_choice)

    assert (await clinic.import_caseload(make_csv([row]))).json()["started"] == 1

    relationships = (await clinic.list_relationships())["relationships"]
    assert {r["case_code"] for r in relationships} == {"AB-12", second_choice}


async def test_a_row_without_a_case_code_is_an_error_if_no_choice_is_free(clinic: IntakeClient) -> None:
    row = clinic.make_row(1, case_code="")
    for choice in islice(choose_case_codes(UUID(row["client_id"])), CASE_CODE_CHOICES):
        await clinic.add_client(uuid4(), choice)

    response = await clinic.import_caseload(make_csv([row]))

    assert row_errors(response) == ["/rows/2/case_code"]
    assert "choose one" in response.text


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
