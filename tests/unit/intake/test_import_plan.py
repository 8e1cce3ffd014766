"""What a caseload import would add, and its errors."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import ExistingRecords, ImportPlan, plan_import
from services.intake.domain.people import CaseCodeAssignment
from services.intake.domain.relationship import (
    Relationship,
)
from shared.errors import IdTaken
from shared.events import ConsentGiven, RelationshipStarted
from tests.support.intake_builders import ANNA, BEN, CLINIC, DAY, NOW, STARTED


def make_row(number: int, **overrides: Any) -> Row:
    defaults = {
        "number": number,
        "relationship_id": uuid4(),
        "clinician_id": ANNA.clinician_id,
        "client_id": uuid4(),
        "case_code": f"AB-{number}",
        "started_at": STARTED.isoformat(),
        "aims": "relief",
        "cadence_days": 7,
        "consent": "no",
    }
    return Row.model_validate({**defaults, **overrides})


def make_plan(*rows: Row, existing: ExistingRecords | None = None) -> ImportPlan:
    return plan_import(CLINIC, rows, existing or ExistingRecords(clinicians={ANNA.clinician_id: ANNA}), NOW)


def records_after(plan: ImportPlan) -> ExistingRecords:
    """The existing records after a plan was written."""
    relationships: dict[UUID, Relationship] = {
        relationship_id: r for relationship_id, (r, _) in plan.relationships.items()
    }
    return ExistingRecords({ANNA.clinician_id: ANNA}, plan.clients, plan.case_codes, relationships)


def error_cells(plan: ImportPlan) -> list[tuple[int, str | None]]:
    return [(error.row, error.column) for error in plan.errors]


def test_a_new_row_adds_the_client_and_starts_the_relationship() -> None:
    plan = make_plan(make_row(2, consent="yes"), make_row(3))

    assert [type(event) for event in plan.events] == [RelationshipStarted, ConsentGiven, RelationshipStarted]
    assert (len(plan.clients), len(plan.case_codes), len(plan.relationships)) == (2, 2, 2)


def test_the_same_file_again_adds_nothing() -> None:
    rows = [make_row(2), make_row(3)]

    second_plan = make_plan(*rows, existing=records_after(make_plan(*rows)))

    assert second_plan == ImportPlan()


def test_a_client_may_be_in_several_rows_with_the_same_case_code() -> None:
    cells = {"client_id": uuid4(), "case_code": "ME-1"}
    existing = ExistingRecords(clinicians={clinician.clinician_id: clinician for clinician in (ANNA, BEN)})

    plan = make_plan(make_row(2, **cells), make_row(3, clinician_id=BEN.clinician_id, **cells), existing=existing)

    assert (plan.errors, len(plan.clients), len(plan.relationships)) == ([], 1, 2)


def test_a_row_that_contradicts_a_row_above_is_an_error() -> None:
    first = make_row(2)

    plan = make_plan(
        first,
        make_row(3, relationship_id=first.relationship_id),
        make_row(4, client_id=first.client_id),
        make_row(5, case_code=first.case_code),
    )

    assert error_cells(plan) == [(3, "relationship_id"), (4, "case_code"), (5, "case_code")]
    assert "row 2" in plan.errors[0].detail


def test_a_row_that_contradicts_existing_records_is_an_error() -> None:
    first = make_row(2)
    existing = records_after(make_plan(first))

    plan = make_plan(
        Row.model_validate({**first.model_dump(), "aims": "loss", "started_at": STARTED.isoformat(), "consent": "no"}),
        make_row(3, clinician_id=uuid4()),
        make_row(4, case_code=first.case_code),
        make_row(5, started_at=(NOW + DAY).isoformat()),
        existing=existing,
    )

    assert error_cells(plan) == [
        (2, "relationship_id"),
        (3, "clinician_id"),
        (4, "case_code"),
        (5, "started_at"),
    ]


def test_an_id_of_another_clinic_is_an_error_that_says_nothing_about_its_record() -> None:
    row, other_row = make_row(2), make_row(3)
    existing = ExistingRecords(
        clinicians={ANNA.clinician_id: ANNA}, ids_of_other_clinics={row.client_id, other_row.relationship_id}
    )

    plan = make_plan(row, other_row, existing=existing)

    assert error_cells(plan) == [(2, "client_id"), (3, "relationship_id")]
    assert {error.detail for error in plan.errors} == {str(IdTaken())}


def test_a_row_that_is_known_adds_nothing_after_its_clinician_has_moved_to_another_clinic() -> None:
    row = make_row(2)
    known = records_after(make_plan(row))

    assert make_plan(row, existing=replace(known, clinicians={})) == ImportPlan()


def test_two_clinics_may_use_the_same_case_code() -> None:
    other_clinic_id = uuid4()
    assignment = CaseCodeAssignment(clinic_id=other_clinic_id, case_code="AB-2", client_id=uuid4())

    plan = make_plan(
        make_row(2),
        existing=ExistingRecords(
            {ANNA.clinician_id: ANNA}, case_codes={CaseCodeAssignment.document_id(other_clinic_id, "AB-2"): assignment}
        ),
    )

    assert plan.errors == []
