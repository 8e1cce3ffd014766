"""The use cases of intake, on a store in memory."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from services.intake.domain.caseload_csv import COLUMNS
from services.intake.domain.import_plan import ImportPlan
from services.intake.domain.people import CaseCodeAssignment, Client
from services.intake.domain.relationship import (
    AimsAgreement,
)
from services.intake.service.caseload import CaseloadRejected
from services.intake.store.memory import InMemoryStore
from shared.access.clinic_id import ClinicId
from shared.errors import NotFound, Rejected
from shared.outbox.documents import VersionConflict
from tests.support.intake_builders import CLINIC, NOW, STARTED
from tests.unit.intake.harness import ANNA, BEN, Intake


@pytest.fixture
async def intake() -> Intake:
    intake = Intake()
    await intake.set_up()
    return intake


def make_csv(*case_codes: str, relationship_ids: list[UUID] | None = None) -> bytes:
    ids = relationship_ids or [uuid4() for _ in case_codes]
    rows = [
        ",".join([str(i), str(ANNA), str(uuid4()), case_code, "2026-01-05", "relief", "7", "yes"])
        for i, case_code in zip(ids, case_codes, strict=True)
    ]
    return "\r\n".join([",".join(COLUMNS), *rows]).encode()


async def test_a_repeated_request_changes_nothing_and_is_counted_once(intake: Intake) -> None:
    relationship_id = uuid4()
    await intake.set_up()

    first, second = await intake.start(relationship_id), await intake.start(relationship_id)

    assert first == second == await intake.relationships.get_relationship(CLINIC, relationship_id)
    registered = ["ClinicUpdated", "ClinicianRegistered", "ClinicianRegistered"]
    assert intake.pending_types() == [*registered, "RelationshipStarted", "ConsentGiven"]
    assert intake.event_count("clinic.clinician.registered.v1") == 2
    assert intake.event_count("clinic.relationship.started.v1") == 1


async def test_what_a_request_refers_to_must_be_known(intake: Intake) -> None:
    unknown = uuid4()

    with pytest.raises(NotFound, match="Clinic"):
        await intake.people.add_client(CLINIC, uuid4(), unknown, "AB-13")
    with pytest.raises(NotFound, match="Clinician"):
        await intake.start(uuid4(), clinician_id=unknown)
    with pytest.raises(NotFound, match="Relationship"):
        await intake.relationships.update_aims(CLINIC, unknown, AimsAgreement(aims=("loss",), agreed_at=NOW))

    assert intake.store.relationships.stored == {}


async def test_a_rejected_client_leaves_nothing_behind(intake: Intake) -> None:
    other = uuid4()

    with pytest.raises(Rejected, match="stands for another client"):
        await intake.people.add_client(CLINIC, other, CLINIC, "AB-12")

    assert await intake.store.clients.get(other) is None


async def test_a_transfer_publishes_the_end_and_the_start(intake: Intake) -> None:
    old_id, new_id = uuid4(), uuid4()
    await intake.start(old_id)
    count = len(intake.store.pending_events)

    for _ in range(2):
        old, new = await intake.relationships.transfer_relationship(
            CLINIC, old_id, new_id, BEN, STARTED + timedelta(days=7)
        )

    assert old.end is not None
    assert (old.end.successor_id, new.start.predecessor_id) == (new_id, old_id)
    assert intake.pending_types()[count:] == ["RelationshipEnded", "RelationshipStarted", "ConsentGiven"]
    assert [intake.event_count(f"clinic.relationship.{name}.v1") for name in ("ended", "started")] == [1, 2]


async def test_a_dry_run_says_what_an_import_would_give_and_writes_nothing(intake: Intake) -> None:
    result = await intake.caseload.import_caseload(CLINIC, CLINIC, make_csv("C-1", "C-2"), dry_run=True)

    assert (result.row_count, result.started_count, result.already_known_count) == (2, 2, 0)
    assert intake.store.relationships.stored == {}
    assert (intake.import_count("dry_run"), intake.import_count("imported")) == (1, 0)


async def test_a_file_that_is_imported_again_adds_nothing(intake: Intake) -> None:
    content = make_csv("C-1", "C-2")

    first = await intake.caseload.import_caseload(CLINIC, CLINIC, content, dry_run=False)
    second = await intake.caseload.import_caseload(CLINIC, CLINIC, content, dry_run=False)

    assert (first.started_count, second.started_count, second.already_known_count) == (2, 0, 2)
    assert intake.event_count("clinic.relationship.started.v1") == 2


async def test_a_file_with_errors_in_cells_and_against_records_reports_all_of_them(intake: Intake) -> None:
    content = make_csv("not valid", "AB-12")

    with pytest.raises(CaseloadRejected) as error:
        await intake.caseload.import_caseload(CLINIC, CLINIC, content, dry_run=False)

    assert [(e.row, e.column) for e in error.value.errors] == [(2, "case_code"), (3, "case_code")]
    assert intake.store.relationships.stored == {}
    assert intake.import_count("rejected") == 1


class StoreWithFasterImport(InMemoryStore):
    """Before a plan is inserted, another request adds its first client."""

    conflicts = 0

    async def insert_plan(self, clinic: ClinicId, plan: ImportPlan) -> None:
        if not self.conflicts:
            client = next(iter(plan.clients.values()))
            assignment = CaseCodeAssignment(**client.model_dump())
            self.clients.put(client.client_id, Client(**client.model_dump()))
            self.case_codes.put(CaseCodeAssignment.document_id(client.clinic_id, client.case_code), assignment)
        try:
            await super().insert_plan(clinic, plan)
        except VersionConflict:
            self.conflicts += 1
            raise


async def test_an_import_is_planned_again_if_another_request_added_a_part_of_it() -> None:
    store = StoreWithFasterImport()
    intake = Intake(store)
    await intake.set_up()

    result = await intake.caseload.import_caseload(CLINIC, CLINIC, make_csv("C-1", "C-2"), dry_run=False)

    assert (store.conflicts, result.started_count) == (1, 2)
    assert len(store.relationships.stored) == 2
