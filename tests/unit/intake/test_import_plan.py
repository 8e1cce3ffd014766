"""What a caseload file would change, and what stands against it."""

from typing import Any
from uuid import UUID, uuid4

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import Known, Plan, plan
from services.intake.domain.people import Client, TakenCode
from services.intake.domain.relationships import Relationship
from shared.events import ConsentGiven, RelationshipStarted
from tests.support.intake_builders import ANNA, CLINIC, DAY, NOW, STARTED, clinician


def row(number: int, **others: Any) -> Row:
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
    return Row.model_validate({**defaults, **others})


def planned(*rows: Row, known: Known | None = None) -> Plan:
    return plan(CLINIC, rows, known or Known(clinicians={ANNA.clinician_id: ANNA}), NOW)


def afterwards(done: Plan) -> Known:
    """What is known once a plan was written."""
    relationships: dict[UUID, Relationship] = {
        relationship_id: r for relationship_id, (r, _) in done.relationships.items()
    }
    return Known({ANNA.clinician_id: ANNA}, done.clients, done.codes, relationships)


def wrong(done: Plan) -> list[tuple[int, str | None]]:
    return [(error.row, error.column) for error in done.wrong]


def test_a_new_row_enters_the_client_and_starts_the_relationship() -> None:
    done = planned(row(2, consent="yes"), row(3))

    assert [type(event) for event in done.events] == [RelationshipStarted, ConsentGiven, RelationshipStarted]
    assert (len(done.clients), len(done.codes), len(done.relationships)) == (2, 2, 2)


def test_the_same_file_again_adds_nothing() -> None:
    rows = [row(2), row(3)]

    second_plan = planned(*rows, known=afterwards(planned(*rows)))

    assert second_plan == Plan()


def test_a_client_may_stand_in_several_rows_under_the_same_code() -> None:
    client_id = uuid4()

    done = planned(row(2, client_id=client_id, case_code="ME-1"), row(3, client_id=client_id, case_code="ME-1"))

    assert (done.wrong, len(done.clients), len(done.relationships)) == ([], 1, 2)


def test_what_contradicts_a_row_above_is_wrong() -> None:
    first = row(2)

    done = planned(
        first,
        row(3, relationship_id=first.relationship_id),
        row(4, client_id=first.client_id),
        row(5, case_code=first.case_code),
    )

    assert wrong(done) == [(3, "relationship_id"), (4, "case_code"), (5, "case_code")]
    assert "row 2" in done.wrong[0].detail


def test_what_contradicts_what_is_known_is_wrong() -> None:
    first, other_clinician = row(2), clinician(clinic_id=uuid4())
    other_client = Client(client_id=uuid4(), clinic_id=uuid4(), case_code="AB-9")
    existing = afterwards(planned(first))
    existing = Known(
        {**existing.clinicians, other_clinician.clinician_id: other_clinician},
        {**existing.clients, other_client.client_id: other_client},
        existing.codes,
        existing.relationships,
    )

    done = planned(
        Row.model_validate({**first.model_dump(), "aims": "loss", "started_at": STARTED.isoformat(), "consent": "no"}),
        row(3, clinician_id=uuid4()),
        row(4, clinician_id=other_clinician.clinician_id),
        row(5, client_id=other_client.client_id, case_code="AB-9"),
        row(6, case_code=first.case_code),
        row(7, started_at=(NOW + DAY).isoformat()),
        known=existing,
    )

    assert wrong(done) == [
        (2, "relationship_id"),
        (3, "clinician_id"),
        (4, "clinician_id"),
        (5, "client_id"),
        (6, "case_code"),
        (7, "started_at"),
    ]


def test_a_code_is_free_at_one_clinic_though_another_uses_it() -> None:
    other_clinic_id = uuid4()
    assignment = TakenCode(clinic_id=other_clinic_id, case_code="AB-2", client_id=uuid4())

    done = planned(
        row(2), known=Known({ANNA.clinician_id: ANNA}, codes={TakenCode.id_of(other_clinic_id, "AB-2"): assignment})
    )

    assert done.wrong == []
