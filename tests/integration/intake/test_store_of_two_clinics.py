"""To a clinic, the records of another one in the store of intake do not exist, and their ids are taken."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from services.intake.domain.import_plan import ExistingRecords
from services.intake.domain.people import register_clinician
from services.intake.domain.relationship import Relationship
from services.intake.domain.relationships import Decision, start_successor
from services.intake.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.errors import IdTaken, NotFound
from tests.integration.intake.store_steps import CARA, assign, make_row, start, start_elsewhere, transfer
from tests.support.intake_builders import ANNA, BEN, CLINIC, OTHER_CLINIC, decide_start


def end_if_found(before: Relationship | None) -> Decision:
    if before is None:
        raise NotFound("unknown-relationship", "not found")
    return before, ()


async def test_the_records_of_another_clinic_are_not_found(store: Store) -> None:
    foreign = await start_elsewhere(store, uuid4())
    await store.clinicians.within(OTHER_CLINIC).change(
        CARA.clinician_id, lambda before: register_clinician(before, CARA)
    )

    async def find(clinic: ClinicId) -> list[object]:
        return [
            await store.relationships.within(clinic).get(foreign.relationship_id),
            await store.clinicians.within(clinic).get(CARA.clinician_id),
            await store.clients.within(clinic).get(foreign.start.client_id),
        ]

    assert await find(CLINIC) == [None, None, None]
    assert None not in await find(OTHER_CLINIC)


async def test_a_clinic_lists_its_own_relationships(store: Store) -> None:
    own, foreign = await start(store, uuid4()), await start_elsewhere(store, uuid4())

    assert await store.list_relationships(CLINIC, None, 10) == [own]
    assert await store.list_relationships(OTHER_CLINIC, None, 10) == [foreign]
    assert await store.list_relationships(ClinicId(uuid4()), None, 10) == []


async def test_open_relationships_of_a_clinician_are_those_of_the_clinic(store: Store) -> None:
    await start_elsewhere(store, uuid4())

    assert not await store.has_open_relationships(CLINIC, CARA.clinician_id)
    assert await store.has_open_relationships(OTHER_CLINIC, CARA.clinician_id)
    assert await store.has_open_relationships(None, CARA.clinician_id)
    assert not await store.has_open_relationships(None, BEN.clinician_id)


async def test_a_clinician_whose_relationships_have_ended_has_no_open_one(store: Store) -> None:
    relationship_id = uuid4()
    await start(store, relationship_id)
    assert await store.has_open_relationships(CLINIC, ANNA.clinician_id)

    await transfer(store, relationship_id, uuid4())

    assert not await store.has_open_relationships(CLINIC, ANNA.clinician_id)


async def test_a_client_is_not_added_under_an_id_of_another_clinic_and_the_code_stays_free(store: Store) -> None:
    client_id = uuid4()
    foreign = (await assign(store, client_id, "AB-1", OTHER_CLINIC)).after

    with pytest.raises(IdTaken):
        await assign(store, client_id, "AB-2")

    assert await store.clients.within(None).get(client_id) == foreign
    assert (await assign(store, uuid4(), "AB-2")).after.case_code == "AB-2"


async def test_a_relationship_is_not_started_under_an_id_of_another_clinic(store: Store) -> None:
    client = (await assign(store, uuid4(), "AB-1")).after
    foreign = await start_elsewhere(store, uuid4())

    for change in (store.start_relationship, store.change_with_open_relationships):
        with pytest.raises(IdTaken):
            await change(
                CLINIC,
                foreign.relationship_id,
                client.client_id,
                lambda before, _: decide_start(before, foreign.relationship_id, client=client),
            )

    assert await store.relationships.within(None).get(foreign.relationship_id) == foreign


async def test_a_start_is_decided_without_relationships_of_another_clinic(store: Store) -> None:
    foreign = await start_elsewhere(store, uuid4())
    seen: list[Sequence[Relationship]] = []

    def decide(before: Relationship | None, others: Sequence[Relationship]) -> Decision:
        seen.append(others)
        return decide_start(before, new_id)

    new_id = uuid4()
    await store.start_relationship(CLINIC, new_id, foreign.start.client_id, decide)

    assert seen[-1] == []


async def test_a_transfer_neither_ends_nor_continues_a_relationship_of_another_clinic(store: Store) -> None:
    own, foreign = await start(store, uuid4()), await start_elsewhere(store, uuid4())

    with pytest.raises(NotFound):
        await store.transfer_relationship(
            CLINIC,
            foreign.relationship_id,
            end_if_found,
            uuid4(),
            lambda before, ended, others: start_successor(before, ended, BEN, others),
        )
    with pytest.raises(IdTaken):
        await transfer(store, own.relationship_id, foreign.relationship_id)

    assert await store.relationships.within(CLINIC).get(own.relationship_id) == own
    assert await store.relationships.within(OTHER_CLINIC).get(foreign.relationship_id) == foreign


async def test_an_import_learns_of_records_of_another_clinic_only_that_their_ids_are_taken(store: Store) -> None:
    foreign = await start_elsewhere(store, uuid4())
    await store.clinicians.within(OTHER_CLINIC).change(
        CARA.clinician_id, lambda before: register_clinician(before, CARA)
    )
    row = make_row(
        2,
        relationship_id=foreign.relationship_id,
        client_id=foreign.start.client_id,
        clinician_id=CARA.clinician_id,
        case_code=foreign.start.case_code,
    )

    existing = await store.load_existing(CLINIC, [row])

    taken = {foreign.relationship_id, foreign.start.client_id}
    assert existing == ExistingRecords(ids_of_other_clinics=taken)
    assert (await store.load_existing(OTHER_CLINIC, [row])).ids_of_other_clinics == set()
