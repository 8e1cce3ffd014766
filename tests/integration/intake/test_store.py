"""The contract of the store of intake, for the store in memory and for MongoDB with either driver."""

import asyncio
from uuid import UUID, uuid4

import pytest

from services.intake.domain.import_plan import ExistingRecords, ImportPlan, plan_import
from services.intake.domain.people import register_clinician
from services.intake.store.protocol import Store
from shared.errors import Rejected
from shared.outbox.documents import VersionConflict
from tests.integration.intake.store_steps import assign, make_plan, make_row, start, transfer
from tests.support.intake_builders import ANNA, BEN, CLINIC, NOW, OTHER_CLINIC, make_clinician


async def test_what_was_changed_is_loaded(store: Store) -> None:
    clinician = make_clinician()
    assert await store.clinicians.within(CLINIC).get(clinician.clinician_id) is None

    change = await store.clinicians.within(CLINIC).change(
        clinician.clinician_id, lambda before: register_clinician(before, clinician)
    )

    assert (change.before, change.after, len(change.events)) == (None, clinician, 1)
    assert await store.clinicians.within(CLINIC).get(clinician.clinician_id) == clinician


async def test_a_client_and_the_case_code_are_added_together(store: Store) -> None:
    client_id = uuid4()

    first = await assign(store, client_id, "AB-1")
    again = await assign(store, client_id, "AB-1")

    assert (first.before, again.before) == (None, first.after)
    assert await store.clients.within(CLINIC).get(client_id) == first.after


async def test_if_the_case_code_is_taken_the_client_is_not_added_either(store: Store) -> None:
    other_id = uuid4()
    await assign(store, uuid4(), "AB-1")

    with pytest.raises(Rejected, match="stands for another client"):
        await assign(store, other_id, "AB-1")

    assert await store.clients.within(CLINIC).get(other_id) is None


async def test_of_parallel_requests_for_the_same_case_code_one_gets_it(store: Store) -> None:
    client_ids = [uuid4() for _ in range(20)]

    results = await asyncio.gather(*(assign(store, i, "AB-1") for i in client_ids), return_exceptions=True)

    rejected = [result for result in results if isinstance(result, BaseException)]
    assert [type(error) for error in rejected] == [Rejected] * 19
    assert len([i for i in client_ids if await store.clients.within(CLINIC).get(i)]) == 1


async def test_a_relationship_ends_and_the_next_one_starts_together(store: Store) -> None:
    old_id, new_id = uuid4(), uuid4()
    await start(store, old_id)

    old, new = await transfer(store, old_id, new_id)
    repeated = await transfer(store, old_id, new_id)

    assert (old.after.end is not None, new.before, new.after.start.predecessor_id) == (True, None, old_id)
    assert await store.relationships.within(CLINIC).get(old_id) == old.after
    assert await store.relationships.within(CLINIC).get(new_id) == new.after
    assert all(change.events for change in (old, new))
    assert [list(change.events) for change in repeated] == [[], []]


async def test_if_the_next_relationship_cannot_start_the_other_does_not_end(store: Store) -> None:
    old_id, taken_id = uuid4(), uuid4()
    await start(store, old_id)
    taken = await start(store, taken_id, clinician=BEN, clinician_id=BEN.clinician_id)

    with pytest.raises(Rejected):
        await transfer(store, old_id, taken_id)

    old = await store.relationships.within(CLINIC).get(old_id)
    assert old is not None
    assert old.end is None
    assert await store.relationships.within(CLINIC).get(taken_id) == taken


async def test_the_relationships_of_a_clinic_are_listed_in_pages_by_id(store: Store) -> None:
    ids = sorted(uuid4() for _ in range(5))
    for relationship_id in reversed(ids):
        await start(store, relationship_id)

    async def list_ids(after: UUID | None, limit: int) -> list[UUID]:
        return [r.relationship_id for r in await store.list_relationships(CLINIC, after, limit)]

    assert await list_ids(None, 3) == ids[:3]
    assert await list_ids(ids[2], 3) == ids[3:]
    assert await list_ids(ids[4], 3) == []
    assert await store.list_relationships(OTHER_CLINIC, None, 3) == []


async def test_a_plan_is_written_as_a_whole_and_its_records_are_found(store: Store) -> None:
    await store.clinicians.within(CLINIC).change(ANNA.clinician_id, lambda before: register_clinician(before, ANNA))
    rows = [make_row(2), make_row(3, case_code=""), make_row(4)]
    plan = make_plan(*rows[:2])

    await store.insert_plan(CLINIC, plan)

    existing = await store.load_existing(CLINIC, rows)
    assert existing == ExistingRecords(
        {ANNA.clinician_id: ANNA},
        plan.clients,
        plan.case_codes,
        {i: r for i, (r, _) in plan.relationships.items()},
        plan.open_relationships,
    )
    assert plan_import(CLINIC, rows[:2], existing, NOW) == ImportPlan()


async def test_an_empty_plan_writes_nothing(store: Store) -> None:
    await store.insert_plan(CLINIC, ImportPlan())

    assert await store.list_relationships(CLINIC, None, 10) == []


@pytest.mark.parametrize("known", ["client", "relationship"])
async def test_a_plan_of_which_a_part_exists_by_now_is_not_written(store: Store, known: str) -> None:
    row, new_row = make_row(2), make_row(3)
    if known == "client":
        await assign(store, row.client_id, "AB-2")
    else:
        await start(store, row.relationship_id)

    with pytest.raises(VersionConflict):
        await store.insert_plan(CLINIC, make_plan(new_row, row))

    existing = await store.load_existing(CLINIC, [new_row])
    assert (existing.clients, existing.case_codes, existing.relationships) == ({}, {}, {})


async def test_of_parallel_imports_of_the_same_file_one_is_written(store: Store) -> None:
    rows = [make_row(number) for number in range(2, 12)]

    async def insert() -> bool:
        try:
            await store.insert_plan(CLINIC, make_plan(*rows))
        except VersionConflict:
            return False
        return True

    results = await asyncio.gather(*(insert() for _ in range(3)))

    assert sorted(results) == [False, False, True]
    assert len(await store.list_relationships(CLINIC, None, 100)) == 10


async def test_a_document_that_an_import_added_can_be_changed(store: Store) -> None:
    row = make_row(2)
    plan = make_plan(row)
    await store.insert_plan(CLINIC, plan)

    loaded = await store.relationships.within(CLINIC).load(row.relationship_id)
    changes = await transfer(store, row.relationship_id, uuid4())

    assert loaded is not None
    assert (loaded.version, changes[0].before) == (1, loaded.value)
