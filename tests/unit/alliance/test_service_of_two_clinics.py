"""What belongs to another clinic is to a request as if it did not exist."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.service import AllianceService
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import VersionedState
from shared.access.clinic_id import ClinicId
from shared.errors import NotFound
from tests.support.builders import RelationshipBuilder

OURS, THEIRS = ClinicId(uuid4()), ClinicId(uuid4())
CLINICIAN = uuid4()

REQUESTS: dict[str, Callable[[AllianceService, UUID], Awaitable[Any]]] = {
    "state": lambda service, r: service.get_state(OURS, r),
    "trajectory": lambda service, r: service.get_trajectories(OURS, r, with_predecessors=False, page=1),
    "trajectory with predecessors": lambda service, r: service.get_trajectories(OURS, r, True, page=1),
}


async def record(store: InMemoryStore, clinic: ClinicId, predecessor: UUID | None = None) -> UUID:
    builder = RelationshipBuilder()
    fields = {"clinic_id": clinic, "clinician_id": CLINICIAN, "predecessor_id": predecessor}
    events: list[HistoryEvent] = [builder.started().model_copy(update=fields), builder.feedback(0)]
    await store.append(events)
    await store.save([VersionedState(builder.relationship_id).advance(refold(events, DEFAULT_POLICY))])
    return builder.relationship_id


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_relationship_of_another_clinic_is_as_if_unknown(name: str) -> None:
    store = InMemoryStore()
    foreign, unknown, answers = await record(store, THEIRS), uuid4(), []

    for relationship in (foreign, unknown):
        with pytest.raises(NotFound) as raised:
            await REQUESTS[name](AllianceService(store, Policies()), relationship)
        answers.append((raised.value.code, str(raised.value).replace(str(relationship), "")))

    assert answers[0] == answers[1]
    await REQUESTS[name](AllianceService(store, Policies()), await record(store, OURS))


async def test_a_trajectory_does_not_follow_a_predecessor_into_another_clinic() -> None:
    store = InMemoryStore()
    own_predecessor = await record(store, OURS, predecessor=await record(store, THEIRS))
    relationship = await record(store, OURS, predecessor=own_predecessor)

    pages = await AllianceService(store, Policies()).get_trajectories(OURS, relationship, True, page=1)

    assert list(pages) == [relationship, own_predecessor]


async def test_a_caseload_has_the_relationships_of_the_clinic_only() -> None:
    store = InMemoryStore()
    own, _ = await record(store, OURS), await record(store, THEIRS)
    service = AllianceService(store, Policies())

    caseloads = [
        await service.list_caseload(OURS, owner_type, owner_id, 1)
        for owner_type, owner_id in (("clinician", CLINICIAN), ("clinic", OURS), ("clinic", THEIRS))
    ]

    assert [[state.relationship for state in page.states] for page in caseloads] == [[own], [own], []]
