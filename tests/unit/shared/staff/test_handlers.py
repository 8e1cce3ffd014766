"""A service folds the events about staff into its own view, in any order, as often as they come."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.clinic_id import ClinicId
from shared.errors import StoreUnavailable
from shared.events import Event, StaffEvent
from shared.outbox.documents import Versioned
from shared.staff.cache import CachedStaff
from shared.staff.handlers import handle_staff_events, with_staff
from shared.staff.staff import ClinicStaff, fold
from shared.staff.store import InMemoryStaffStore
from tests.support.builders import RelationshipBuilder
from tests.support.staff_builders import (
    ANNA,
    ANNAS,
    BEN,
    CLINIC,
    DAY,
    OTHER_CLINIC,
    START,
    deputies_updated,
    deputy,
    lead_updated,
    removed,
    staff_updated,
    supervisor,
    supervisors_updated,
)

ELM, OAK = ClinicId(CLINIC), ClinicId(OTHER_CLINIC)
EVENTS: tuple[StaffEvent, ...] = (
    staff_updated(ANNA, "clinician"),
    staff_updated(BEN, "clinician", "supervisor"),
    removed(ANNA, ANNAS, occurred_at=START + DAY),
    staff_updated(ANNA, "desk", clinic_id=OTHER_CLINIC),
    deputies_updated(ANNAS, deputy(BEN)),
    supervisors_updated(ANNAS, supervisor(BEN)),
    lead_updated(BEN),
)
EXPECTED = {clinic: fold(clinic, [event for event in EVENTS if event.clinic_id == clinic]) for clinic in (ELM, OAK)}


class ConflictingStore(InMemoryStaffStore):
    """Another process writes just before the first save."""

    def __init__(self, other: StaffEvent) -> None:
        super().__init__()
        self._other: StaffEvent | None = other

    async def save(self, changed: Sequence[Versioned[ClinicStaff]]) -> set[UUID]:
        if self._other:
            other, self._other = self._other, None
            await handle_staff_events([other], self, CachedStaff(self))
        return await super().save(changed)


class UnavailableStore(InMemoryStaffStore):
    """Fails after each write, as if the answer were lost."""

    async def save(self, changed: Sequence[Versioned[ClinicStaff]]) -> set[UUID]:
        await super().save(changed)
        raise StoreUnavailable("no answer")


@given(data=st.data())
async def test_batches_in_any_order_with_repetitions_give_the_same_staff(data: st.DataObject) -> None:
    store = InMemoryStaffStore()
    arrived = data.draw(st.permutations([*EVENTS, *data.draw(st.lists(st.sampled_from(EVENTS), max_size=4))]))
    first_batch = data.draw(st.integers(0, len(arrived)))

    for batch in (arrived[:first_batch], arrived[first_batch:]):
        await handle_staff_events(batch, store, CachedStaff(store))

    assert {clinic: await store.find(clinic) for clinic in (ELM, OAK)} == EXPECTED


async def test_a_repeated_event_writes_nothing() -> None:
    store = InMemoryStaffStore()

    for _ in range(2):
        await handle_staff_events(EVENTS, store, CachedStaff(store))

    assert (await store.load([CLINIC]))[CLINIC].version == 1


async def test_what_another_process_writes_meanwhile_is_not_lost() -> None:
    first, *others = (event for event in EVENTS if event.clinic_id == CLINIC)
    store = ConflictingStore(first)

    await handle_staff_events(others, store, CachedStaff(store))

    assert await store.find(ELM) == EXPECTED[ELM]


@pytest.mark.parametrize("store", [InMemoryStaffStore(), UnavailableStore()], ids=["saved", "perhaps saved"])
async def test_requests_see_a_change_at_once(store: InMemoryStaffStore) -> None:
    cache = CachedStaff(store, lambda: 0.0)
    assert (await cache.of(ELM)).roles_of(BEN) == frozenset()

    try:
        await handle_staff_events(EVENTS, store, cache)
    except StoreUnavailable:
        assert isinstance(store, UnavailableStore)

    assert (await cache.of(ELM)).roles_of(BEN) == {"clinician", "supervisor"}


async def test_all_other_events_go_to_the_handler_of_the_service() -> None:
    store, handled = InMemoryStaffStore(), list[Sequence[Event]]()
    started = RelationshipBuilder().started()

    async def handle_batch(events: Sequence[Event]) -> None:
        handled.append(events)

    handle = with_staff(handle_batch, store, CachedStaff(store))
    for batch in ([EVENTS[0], started, EVENTS[1]], [started], [EVENTS[2]]):
        await handle(batch)

    assert handled == [[started], [started]]
    assert (await store.find(ELM)).roles_of(BEN) == {"clinician", "supervisor"}
    assert (await store.find(ELM)).roles_of(ANNA) == frozenset()
