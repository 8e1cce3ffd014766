"""How batches of events change the alerts, and what is published."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import UUID

import pytest

from services.notify.domain.alert import Alert
from services.notify.store.memory import InMemoryStore
from shared.errors import BrokerUnavailable
from shared.events import Event
from shared.outbox.documents import Versioned
from tests.support.notify_harness import EMAIL_ADDRESS
from tests.support.rupture_builder import RuptureBuilder
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness


@pytest.fixture
def service() -> InMemoryNotifyHarness:
    return InMemoryNotifyHarness()


async def test_a_batch_delivered_again_raises_no_new_alerts(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW)
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)

    for _ in range(3):
        await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])

    assert await service.statuses(s.clinician_id) == [("concern", "open")]
    assert await service.due_count() == 1
    assert len(service.raised_alerts()) == 1
    assert service.registry.get_sample_value("attune_notify_alerts_raised_total", {"severity": "concern"}) == 1


async def test_events_that_could_not_be_published_are_published_at_the_next_attempt(
    service: InMemoryNotifyHarness,
) -> None:
    s = RuptureBuilder(NOW)
    batch = [s.started(), s.suspected(3), s.updated(3, 0)]
    service.publish_failures = 1

    with pytest.raises(BrokerUnavailable):
        await service.projector.handle_batch(batch)
    await service.projector.handle_batch(batch)

    assert len(service.raised_alerts()) == 1


async def test_later_changes_do_not_publish_an_alert_again(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW)
    await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])

    await service.projector.handle_batch([s.changed(4), s.updated(4, 0), s.updated(5, 0)])

    assert len(service.published) == 1


async def test_an_alert_waits_for_its_relationship(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW)
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)

    await service.projector.handle_batch([s.suspected(3), s.updated(3, 0)])
    assert (service.published, await service.due_count()) == ([], 0)

    await service.projector.handle_batch([s.started()])
    assert await service.statuses(s.clinician_id) == [("concern", "open")]
    assert (len(service.published), await service.due_count()) == (1, 1)


async def test_a_watch_alert_is_shown_and_not_sent(service: InMemoryNotifyHarness) -> None:
    s = RuptureBuilder(NOW)
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)

    await service.projector.handle_batch([s.started(), s.suspected(3, "watch"), s.updated(3, 0)])

    assert await service.statuses(s.clinician_id) == [("watch", "open")]
    assert await service.due_count() == 0
    assert {severity for _, severity in service.raised_alerts()} == {"watch"}


async def test_an_alert_from_history_is_shown_and_not_sent_until_a_newer_sign_comes(
    service: InMemoryNotifyHarness,
) -> None:
    s = RuptureBuilder(NOW)
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)
    await service.projector.handle_batch([s.started(), s.suspected(3, days_ago=30), s.updated(3, 0)])
    await service.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)
    await service.planner.plan_missing()

    assert await service.statuses(s.clinician_id) == [("concern", "open")]
    assert await service.due_count() == 0

    await service.projector.handle_batch([s.changed(4, days_ago=1), s.updated(4, 0)])
    assert await service.due_count() == 1


async def test_repair_and_retraction_are_shown_in_the_inbox_only(service: InMemoryNotifyHarness) -> None:
    a = RuptureBuilder(NOW)
    b = RuptureBuilder(NOW, clinician_id=a.clinician_id)
    await service.projector.handle_batch([e for s in (a, b) for e in (s.started(), s.suspected(3), s.updated(3, 0))])

    await service.projector.handle_batch([a.repaired(4), a.updated(4), b.updated(4)])

    assert sorted(await service.statuses(a.clinician_id)) == [("concern", "repaired"), ("concern", "retracted")]


async def test_the_alerts_of_an_erased_client_are_deleted_and_stay_deleted() -> None:
    store, s = InMemoryStore(), RuptureBuilder(NOW)
    service = InMemoryNotifyHarness(store=store)
    await service.projector.handle_batch([s.registered(), s.started(), s.suspected(3), s.updated(3, 0)])

    await service.projector.handle_batch([s.erased()])
    await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])

    assert (store.alerts, await service.statuses(s.clinician_id)) == ({}, [])


class StoreWithFasterWriter(InMemoryStore):
    """Before the next alerts are loaded or saved, another writer changes something."""

    write: Callable[[], Awaitable[object]] | None = None
    moment: Literal["load", "save"] = "save"

    async def load_versioned_alerts(
        self, alert_ids: Iterable[UUID], relationships: Iterable[UUID], withdrawn: Iterable[UUID] = ()
    ) -> list[Versioned[Alert]]:
        await self._write_at("load")
        return await super().load_versioned_alerts(alert_ids, relationships, withdrawn)

    async def save_alerts(self, changed: Sequence[Versioned[Alert]]) -> set[UUID]:
        await self._write_at("save")
        return await super().save_alerts(changed)

    async def _write_at(self, moment: Literal["load", "save"]) -> None:
        if self.write is not None and self.moment == moment:
            write, self.write = self.write, None
            await write()


async def test_a_disposition_that_comes_between_load_and_save_is_kept_and_the_conflict_counted() -> None:
    store, s = StoreWithFasterWriter(), RuptureBuilder(NOW)
    service = InMemoryNotifyHarness(store=store)
    await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])

    store.write = partial(service.acknowledge, s.alert_id())
    await service.projector.handle_batch([s.changed(4), s.updated(4, 0)])

    (alert,) = (await service.inbox.get_inbox(None, s.clinician_id)).alerts
    assert (alert.status, alert.version) == ("acknowledged", 4)
    assert service.registry.get_sample_value("attune_notify_conflicts_total") == 1


@pytest.mark.parametrize("moment", ["load", "save"])
@pytest.mark.parametrize("what", ["not_named", "changed_and_not_named", "erased"])
async def test_a_relationship_that_another_process_has_changed_since_decides_about_no_alert(
    moment: Literal["load", "save"], what: str
) -> None:
    """As when a partition moves to another process while this one still handles a batch from it."""
    store, s = StoreWithFasterWriter(), RuptureBuilder(NOW)
    service = InMemoryNotifyHarness(store=store)
    later: dict[str, list[Event]] = {
        "not_named": [s.updated(5)],
        "changed_and_not_named": [s.changed(4, "urgent"), s.updated(4, 0), s.updated(5)],
        "erased": [s.erased()],
    }

    store.moment, store.write = moment, partial(service.projector.handle_batch, later[what])
    await service.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])

    statuses = [stored.value.status for stored in store.alerts.values()]
    assert statuses == ([] if what == "erased" else ["retracted"])


class CountingStore(InMemoryStore):
    """Records the names of the methods that load and save."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> object:
        if name.startswith(("load_", "save_")):
            self.calls.append(name)
        return super().__getattribute__(name)


async def test_a_batch_takes_a_few_round_trips_whatever_its_size() -> None:
    """Counted at the store, whose methods each take a whole batch."""
    store = CountingStore()
    relationships = [RuptureBuilder(NOW) for _ in range(300)]

    await InMemoryNotifyHarness(store=store).projector.handle_batch(
        [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]
    )

    assert store.calls == [
        "save_clinicians",
        "load_relationships",
        "save_relationships",
        "load_versioned_alerts",
        "save_alerts",
        "load_relationships",  # has another process changed them since?
        "load_channels",
    ]


async def test_the_time_from_feedback_to_alert_is_measured_for_live_feedback_only(
    service: InMemoryNotifyHarness,
) -> None:
    live, replayed = RuptureBuilder(NOW), RuptureBuilder(NOW)
    for s, age in ((live, timedelta(seconds=2)), (replayed, timedelta(days=2))):
        event = s.suspected(3).model_copy(update={"recorded_at": NOW - age})
        await service.projector.handle_batch([s.started(), event, s.updated(3, 0)])

    labels = {"severity": "concern"}
    assert service.registry.get_sample_value("attune_notify_alerts_raised_total", labels) == 2
    assert service.registry.get_sample_value("attune_notify_alert_latency_seconds_count", labels) == 1
