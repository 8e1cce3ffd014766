"""What is removed when time has passed, what never is, and what does not come back."""

from datetime import timedelta

import pytest

from shared.events import Event
from tests.support.notify_harness import ALERT_RETENTION, DELIVERY_RETENTION, MAX_SIGN_AGE
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness

DAY = timedelta(days=1)


@pytest.fixture
def service() -> InMemoryNotifyHarness:
    return InMemoryNotifyHarness()


def raised(s: RuptureBuilder) -> list[Event]:
    return [s.started(), s.suspected(3), s.updated(3, 0)]


def dropped_out(s: RuptureBuilder) -> list[Event]:
    return [s.retracted(4, reason="ended", end_reason="stopped_by_client"), s.updated(4)]


async def remove_after(service: InMemoryNotifyHarness, wait: timedelta) -> None:
    service.clock.now = NOW + wait
    await service.retention_service.remove_past()


def removed_count(service: InMemoryNotifyHarness, kind: str) -> float | None:
    return service.registry.get_sample_value("attune_notify_removed_total", {"kind": kind})


async def test_a_settled_alert_is_removed_after_its_retention_and_not_before(service: InMemoryNotifyHarness) -> None:
    s = service.rupture
    repaired = s.repaired(4)
    await service.projector.handle_batch([*raised(s), repaired, s.updated(4)])
    ends_at = repaired.occurred_at - NOW + ALERT_RETENTION

    await remove_after(service, ends_at)
    assert list(service.memory.alerts) == [s.alert_id()]
    await remove_after(service, ends_at + timedelta(milliseconds=1))

    assert not service.memory.alerts
    assert removed_count(service, "alert") == 1


async def test_an_alert_that_was_settled_late_is_removed_late(service: InMemoryNotifyHarness) -> None:
    s, late = service.rupture, timedelta(days=1000)
    await service.projector.handle_batch(raised(s))
    await service.projector.handle_batch([s.repaired(4).model_copy(update={"occurred_at": NOW + late}), s.updated(4)])

    await remove_after(service, late + ALERT_RETENTION - DAY)
    assert list(service.memory.alerts) == [s.alert_id()]
    await remove_after(service, late + ALERT_RETENTION + DAY)
    assert not service.memory.alerts


@pytest.mark.parametrize("course", ["open", "acknowledged", "ended_unread"])
async def test_an_alert_that_waits_for_its_clinician_is_never_removed(
    service: InMemoryNotifyHarness, course: str
) -> None:
    s = service.rupture
    await service.projector.handle_batch([*raised(s), *(dropped_out(s) if course == "ended_unread" else [])])
    if course == "acknowledged":
        await service.acknowledge(s.alert_id())

    await remove_after(service, 10 * ALERT_RETENTION)

    assert list(service.memory.alerts) == [s.alert_id()]


@pytest.mark.parametrize("is_repaired", [True, False], ids=["repaired", "no_longer_named"])
async def test_a_resolved_alert_stays_only_while_a_new_sign_would_continue_its_episode(
    service: InMemoryNotifyHarness, is_repaired: bool
) -> None:
    s = service.rupture
    await service.projector.handle_batch(raised(s))
    await service.resolve(s.alert_id(), useful=True)

    await remove_after(service, 2 * ALERT_RETENTION)
    assert list(service.memory.alerts) == [s.alert_id()]
    await service.projector.handle_batch([*([s.repaired(4)] if is_repaired else []), s.updated(4)])
    await remove_after(service, 2 * ALERT_RETENTION)
    assert not service.memory.alerts


@pytest.mark.parametrize("read", [False, True])
async def test_redelivered_events_do_not_bring_a_removed_alert_back(service: InMemoryNotifyHarness, read: bool) -> None:
    s = service.rupture
    events = [*raised(s), *(dropped_out(s) if read else [s.repaired(4), s.updated(4)])]
    await service.projector.handle_batch(events)
    if read:
        await service.acknowledge(s.alert_id())
    await remove_after(service, ALERT_RETENTION + 2 * DAY)
    assert not service.memory.alerts

    for event in (events, *([each] for each in events)):
        await service.projector.handle_batch(event)

    assert not service.memory.alerts


async def test_history_does_not_hide_an_open_alert(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW - 3 * ALERT_RETENTION)

    await service.projector.handle_batch(raised(s))

    assert await service.statuses(s.clinician_id) == [("concern", "open")]


async def test_a_completed_delivery_is_removed_when_its_message_cannot_be_owed_anew(
    service: InMemoryNotifyHarness,
) -> None:
    s = service.rupture
    await service.plan_message()
    claimed = await service.delivery_store.claim("email", DAY, include_expired=False)
    assert claimed is not None
    await service.delivery_store.complete(claimed, "sent")

    await remove_after(service, DELIVERY_RETENTION + DAY)
    assert len(service.delivery_memory.deliveries) == 1  # the alert is open
    sign = s.repaired(4).model_copy(update={"last_sign_at": service.clock.now})
    await service.projector.handle_batch([sign, s.updated(4)])
    await service.retention_service.remove_past()
    assert len(service.delivery_memory.deliveries) == 1  # its last sign is recent
    await remove_after(service, DELIVERY_RETENTION + MAX_SIGN_AGE + 2 * DAY)

    assert not service.delivery_memory.deliveries
    assert removed_count(service, "delivery") == 1
    await service.planner.plan_missing()
    assert not service.delivery_memory.deliveries


async def test_a_delivery_that_is_due_is_never_removed(service: InMemoryNotifyHarness) -> None:
    s = service.rupture
    await service.plan_message()
    await service.projector.handle_batch([s.repaired(4), s.updated(4)])

    await remove_after(service, 10 * DELIVERY_RETENTION)

    assert await service.due_count() == 1
