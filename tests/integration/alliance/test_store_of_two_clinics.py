"""To a clinic, the relationships of another one in the store of alliance do not exist."""

from uuid import UUID, uuid4

import pytest

from services.alliance.domain.fold import FoldResult, fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.store.protocol import Store, VersionedState
from shared.access.clinic_id import ClinicId
from tests.support.builders import RelationshipBuilder

OURS, THEIRS = ClinicId(uuid4()), ClinicId(uuid4())
CLINICIAN = uuid4()


async def record(store: Store, clinic: ClinicId | None) -> UUID:
    """A relationship of a clinic; None: one of which the start has not arrived yet."""
    builder = RelationshipBuilder()
    started = builder.started().model_copy(update={"clinic_id": clinic, "clinician_id": CLINICIAN})
    events: list[HistoryEvent] = [builder.feedback(0), *([started] if clinic else [])]
    await store.append(events)
    await store.save([VersionedState(builder.relationship_id).advance(FoldResult(fold(events, DEFAULT_POLICY)))])
    return builder.relationship_id


async def test_a_relationship_is_found_in_its_clinic_only(store: Store) -> None:
    relationship = await record(store, THEIRS)
    stored = (await store.load([relationship]))[relationship]

    assert await store.find(THEIRS, relationship) == await store.find(None, relationship) == stored
    assert await store.find(OURS, relationship) is None
    assert await store.find(OURS, uuid4()) is None


async def test_a_history_is_found_in_its_clinic_only(store: Store) -> None:
    relationship = await record(store, THEIRS)
    stored = (await store.history([relationship]))[relationship]

    assert await store.find_history(THEIRS, relationship) == await store.find_history(None, relationship) == stored
    assert await store.find_history(OURS, relationship) == []
    assert await store.find_history(OURS, uuid4()) == []


async def test_a_relationship_of_which_the_clinic_is_not_known_yet_is_found_by_none(store: Store) -> None:
    relationship = await record(store, None)

    assert await store.find(OURS, relationship) is None
    assert await store.find_history(OURS, relationship) == []
    assert await store.page(OURS, None, 10) == []
    assert await store.find(None, relationship) is not None
    assert len(await store.find_history(None, relationship)) == 1


@pytest.mark.parametrize(("owner_type", "owner_id"), [("clinic", OURS), ("clinician", CLINICIAN)])
async def test_a_caseload_lists_relationships_of_the_clinic_only(store: Store, owner_type: str, owner_id: UUID) -> None:
    relationship = await record(store, OURS)
    await record(store, THEIRS)

    listed = await store.caseload(OURS, owner_type, owner_id, 10)

    assert [state.relationship for state in listed] == [relationship]


async def test_the_caseload_of_another_clinic_is_empty_as_that_of_an_unknown_one(store: Store) -> None:
    await record(store, OURS)
    await record(store, THEIRS)

    assert await store.caseload(OURS, "clinic", THEIRS, 10) == []
    assert await store.caseload(OURS, "clinic", uuid4(), 10) == []
    assert len(await store.caseload(THEIRS, "clinic", THEIRS, 10)) == 1
