"""Which deliveries are planned, from how the alerts stand and never from what just changed."""

from datetime import UTC, datetime, timedelta

import pytest

from services.notify.delivery.planner import DeliveryPlanner
from services.notify.domain.alert import Alert, fold_alerts
from services.notify.domain.relationship import Relationship
from services.notify.domain.routing import ChannelAddresses, DeliveryOutcome, WebhookAddress
from services.notify.store.memory import InMemoryDeliveryStore, InMemoryStore
from shared.events import RuptureEvent
from shared.outbox.documents import Versioned
from tests.support.notify_harness import EMAIL_ADDRESS, MAX_SIGN_AGE, ManualClock
from tests.support.rupture_builder import RuptureBuilder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
BOTH_ADDRESSES = ChannelAddresses(
    email="someone@clinic.example", webhook=WebhookAddress(url="https://clinic.example/hook", secret="c2VjcmV0")
)


class Planning:
    """A planner, and its stores."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.store = InMemoryStore()
        self.delivery_store = InMemoryDeliveryStore(self.clock)
        self.planner = DeliveryPlanner(self.store, self.delivery_store, self.clock, MAX_SIGN_AGE)

    async def save(self, s: RuptureBuilder, *events: RuptureEvent) -> Alert:
        """An alert as the event handler leaves it when it stops before planning."""
        relationship = Relationship(relationship_id=s.relationship_id, clinician_id=s.clinician_id)
        (alert,) = fold_alerts({}, events, relationship).values()
        await self.store.save_alerts([Versioned(alert.id, alert)])
        return alert

    async def complete(self, outcome: DeliveryOutcome) -> None:
        claimed = await self.delivery_store.claim("email", timedelta(minutes=1), include_expired=False)
        assert claimed is not None
        await self.delivery_store.complete(claimed, outcome)

    def planned(self) -> list[tuple[str, str]]:
        """The channel and the change of each delivery."""
        return [(d.delivery.channel, d.delivery.change) for d in self.delivery_store.deliveries.values()]


@pytest.fixture
def planning() -> Planning:
    return Planning()


async def test_an_alert_is_planned_once_for_each_channel_of_its_clinician(planning: Planning) -> None:
    s = RuptureBuilder(NOW)
    alert = await planning.save(s, s.suspected(3))
    await planning.store.save_channels(None, s.clinician_id, BOTH_ADDRESSES)

    await planning.planner.plan([alert])
    await planning.planner.plan([alert])

    assert planning.planned() == [("email", "raised"), ("webhook", "raised")]


async def test_a_clinician_without_channels_gets_no_message(planning: Planning) -> None:
    s = RuptureBuilder(NOW)

    await planning.planner.plan([await planning.save(s, s.suspected(3))])

    assert planning.planned() == []


async def test_an_escalation_is_planned_once_more(planning: Planning) -> None:
    s = RuptureBuilder(NOW)
    await planning.store.save_channels(None, s.clinician_id, EMAIL_ADDRESS)

    await planning.planner.plan([await planning.save(s, s.suspected(3))])
    await planning.planner.plan([await planning.save(s, s.suspected(3), s.changed(4, "urgent"))])

    assert planning.planned() == [("email", "raised"), ("email", "rose")]


async def test_channels_that_are_set_later_get_the_open_alerts(planning: Planning) -> None:
    s, other = RuptureBuilder(NOW), RuptureBuilder(NOW)
    await planning.save(s, s.suspected(3))
    await planning.save(other, other.suspected(3))

    await planning.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)
    await planning.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)

    assert planning.planned() == [("email", "raised")]


async def test_deliveries_that_a_crash_left_unplanned_are_planned(planning: Planning) -> None:
    s = RuptureBuilder(NOW)
    await planning.save(s, s.suspected(3))
    await planning.store.save_channels(None, s.clinician_id, EMAIL_ADDRESS)

    await planning.planner.plan_missing()
    await planning.planner.plan_missing()

    assert planning.planned() == [("email", "raised")]


async def test_an_alert_whose_last_sign_is_too_old_is_not_planned(planning: Planning) -> None:
    s = RuptureBuilder(NOW)
    alert = await planning.save(s, s.suspected(3, days_ago=7))
    await planning.store.save_channels(None, s.clinician_id, EMAIL_ADDRESS)
    planning.clock.now = NOW + timedelta(seconds=1)

    await planning.planner.plan([alert])
    await planning.planner.plan_missing()
    await planning.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)

    assert planning.planned() == []


@pytest.mark.parametrize(("outcome", "due_count"), [("rejected", 1), ("failed", 1), ("sent", 0), ("unknown", 0)])
async def test_new_addresses_get_what_the_old_ones_did_not_accept(
    planning: Planning, outcome: DeliveryOutcome, due_count: int
) -> None:
    s = RuptureBuilder(NOW)
    await planning.save(s, s.suspected(3))
    await planning.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)
    await planning.complete(outcome)

    planning.clock.now = NOW + timedelta(days=1)
    await planning.planner.update_channels(None, s.clinician_id, ChannelAddresses(email="another@clinic.example"))

    assert (await planning.delivery_store.count_due())[0] == due_count


async def test_a_worker_is_woken_when_something_was_planned(planning: Planning) -> None:
    s = RuptureBuilder(NOW)
    await planning.planner.plan([await planning.save(s, s.suspected(3, "watch"))])
    assert not any(event.is_set() for event in planning.planner.planned.values())

    await planning.planner.plan([await planning.save(s, s.suspected(3, episode=1))])
    assert all(event.is_set() for event in planning.planner.planned.values())
