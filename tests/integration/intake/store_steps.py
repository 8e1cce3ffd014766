"""What tests of the store of intake do and build."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import ExistingRecords, ImportPlan, plan_import
from services.intake.domain.people import CaseCodeAssignment, Client, Clinician, add_client, assign_case_code
from services.intake.domain.relationship import (
    Relationship,
)
from services.intake.domain.relationships import (
    Decision,
    end_for_transfer,
    start_successor,
)
from services.intake.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.outbox.documents import Change
from tests.support.intake_builders import ANNA, BEN, CLINIC, NOW, OTHER_CLINIC, STARTED, decide_start, make_clinician

CARA = make_clinician(clinic_id=OTHER_CLINIC)


async def start(store: Store, relationship_id: UUID, clinic: ClinicId = CLINIC, **overrides: Any) -> Relationship:
    change = await store.relationships.within(clinic).change(
        relationship_id, lambda before: decide_start(before, relationship_id, **overrides)
    )
    return change.after


async def assign(store: Store, client_id: UUID, case_code: str, clinic: ClinicId = CLINIC) -> Change[Client]:
    client = Client(client_id=client_id, clinic_id=clinic, case_code=case_code)
    assignment = CaseCodeAssignment(**client.model_dump())
    return await store.add_client(
        clinic,
        client_id,
        lambda before: add_client(before, client),
        CaseCodeAssignment.document_id(clinic, case_code),
        lambda before: assign_case_code(before, assignment),
    )


async def start_elsewhere(store: Store, relationship_id: UUID, clinician: Clinician = CARA) -> Relationship:
    """A relationship of another clinic, with a client of its own."""
    clinic = ClinicId(clinician.clinic_id)
    client = (await assign(store, uuid4(), f"AB-{uuid4().int % 1000}", clinic)).after
    fields = {"clinic_id": clinic, "clinician_id": clinician.clinician_id, "client_id": client.client_id}
    return await start(store, relationship_id, clinic, clinician=clinician, client=client, **fields)


async def transfer(store: Store, old_id: UUID, new_id: UUID) -> list[Change[Relationship]]:
    def decide_end(before: Relationship | None) -> Decision:
        assert before is not None
        return end_for_transfer(before, new_id, BEN, STARTED + timedelta(days=7), NOW)

    changes = await store.transfer_relationship(
        CLINIC, old_id, decide_end, new_id, lambda before, ended, others: start_successor(before, ended, BEN, others)
    )
    return list(changes)


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
        "consent": "yes",
    }
    return Row.model_validate({**defaults, **overrides})


def make_plan(*rows: Row) -> ImportPlan:
    return plan_import(CLINIC, rows, ExistingRecords(clinicians={ANNA.clinician_id: ANNA}), NOW)
