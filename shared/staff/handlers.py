"""What a service does with the events about the staff of clinics: it folds them into its own view."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import reduce
from typing import Any
from uuid import UUID

from shared.events import STAFF_EVENTS, Event, StaffEvent
from shared.outbox.documents import Versioned
from shared.staff.cache import CachedStaff
from shared.staff.staff import evolve
from shared.staff.store import StaffStore

HandleBatch = Callable[[Sequence[Any]], Awaitable[None]]

# Looked up for every event: `isinstance` of a pydantic model costs several times as much.
_STAFF_EVENTS: frozenset[type[Event]] = frozenset(STAFF_EVENTS)


def with_staff(handle_batch: HandleBatch, store: StaffStore, cache: CachedStaff) -> HandleBatch:
    """A handler that folds the events about staff, and gives a batch of all other events to `handle_batch`."""

    async def handle_batch_with_staff(events: Sequence[Event]) -> None:
        if staff_events := [event for event in events if type(event) in _STAFF_EVENTS]:
            await handle_staff_events(staff_events, store, cache)  # type: ignore[arg-type]
            events = [event for event in events if type(event) not in _STAFF_EVENTS]
        if events:
            await handle_batch(events)

    return handle_batch_with_staff


async def handle_staff_events(events: Sequence[StaffEvent], store: StaffStore, cache: CachedStaff) -> None:
    """Fold `events` into the staff of their clinics.

    Idempotent and independent of order and batching. Raises StoreUnavailable.
    """
    pending = _group_by_clinic(events)
    try:
        while pending:
            loaded = await store.load(pending)
            evolved = {i: reduce(evolve, pending[i], loaded[i].value) for i in pending}
            changed = [Versioned(i, evolved[i], loaded[i].version) for i in pending if evolved[i] != loaded[i].value]
            conflicts = await store.save(changed)
            pending = {i: pending[i] for i in conflicts}
    finally:  # also after an error: the write may have been done
        cache.drop(_group_by_clinic(events))


def _group_by_clinic(events: Sequence[StaffEvent]) -> Mapping[UUID, Sequence[StaffEvent]]:
    grouped: defaultdict[UUID, list[StaffEvent]] = defaultdict(list)
    for event in events:
        grouped[event.clinic_id].append(event)
    return dict(grouped)
