"""How deliveries are attempted, retried and given up, with a clock that a test sets forward."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import structlog

from services.notify.channels import AddressRejected, DeliveryFailed, DeliveryUnknown
from services.notify.domain.routing import (
    MAX_UNKNOWN_ATTEMPTS,
    UNKNOWN_OUTCOME_WAIT,
    ChannelAddresses,
    ChannelName,
)
from services.notify.store import ClaimedDelivery
from services.notify.store.memory import InMemoryDeliveryStore
from shared.errors import StoreUnavailable
from tests.support.notify_harness import DELIVERY_SETTINGS, EMAIL_ADDRESS, ManualClock
from tests.support.serving import wait_until
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness

SETTINGS = replace(
    DELIVERY_SETTINGS,
    first_retry_wait=timedelta(seconds=30),
    renew_interval_seconds=0.01,
    due_check_interval_seconds=0.01,
)
LEASE = SETTINGS.lease


@pytest.fixture
def service() -> InMemoryNotifyHarness:
    return InMemoryNotifyHarness(SETTINGS)


async def test_a_message_names_its_alert_and_links_to_the_inbox(service: InMemoryNotifyHarness) -> None:
    await service.plan_message()

    async with service.worker.run():
        await wait_until(service.is_all_delivered)

    (sent,) = service.channel.sent
    s = service.rupture
    assert (sent.delivery_id, sent.alert_id) == (service.delivery().delivery.id, s.alert_id())
    assert (sent.change, sent.severity, sent.sent_at) == ("raised", "concern", NOW)
    assert sent.url == f"https://attune.example/inbox/{s.clinician_id}"


async def test_a_message_is_retried_until_it_is_accepted_and_waits_twice_as_long_each_time(
    service: InMemoryNotifyHarness,
) -> None:
    service.channel.errors = [
        DeliveryFailed("SMTP 451"),
        TimeoutError(),
        RuntimeError("a bug"),
        StoreUnavailable("MongoDB is unavailable"),
    ]
    await service.plan_message()
    waits = []

    async with service.worker.run():
        for attempt in range(1, 5):
            waits.append(await service.wait_for_retry(attempt))
            service.clock.now += waits[-1]
        await wait_until(service.is_all_delivered)

    assert waits == [timedelta(seconds=30), timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=4)]
    assert (len(service.channel.sent), service.channel.attempts) == (1, 5)
    assert service.delivery().outcome == "sent"


async def test_a_message_that_is_never_accepted_is_given_up_logged_and_counted(service: InMemoryNotifyHarness) -> None:
    service.channel.errors = [DeliveryFailed("SMTP 451"), DeliveryFailed("SMTP 452")]
    await service.plan_message()

    with structlog.testing.capture_logs() as logs:
        async with service.worker.run():
            await service.wait_for_retry(1)
            service.clock.now = NOW + SETTINGS.give_up_after + timedelta(seconds=1)
            await wait_until(service.is_all_delivered)

    assert (service.delivery().outcome, service.channel.attempts) == ("failed", 2)
    assert service.delivery_count("failed") == 1
    assert [(entry["event"], entry["reason"]) for entry in logs if entry["log_level"] == "error"] == [
        ("delivery failed: giving up", "DeliveryFailed: SMTP 452")
    ]


async def test_a_message_that_may_have_arrived_is_sent_again_only_much_later(service: InMemoryNotifyHarness) -> None:
    service.channel.errors = [DeliveryUnknown("SMTPReadTimeoutError")]
    await service.plan_message()

    async with service.worker.run():
        assert await service.wait_for_retry(1) == UNKNOWN_OUTCOME_WAIT
        assert (service.channel.sent, service.channel.attempts) == ([], 1)
        service.clock.now += UNKNOWN_OUTCOME_WAIT
        await wait_until(service.is_all_delivered)

    assert (len(service.channel.sent), service.channel.attempts) == (1, 2)


async def test_a_message_that_may_have_arrived_is_sent_a_few_times_at_most(service: InMemoryNotifyHarness) -> None:
    service.channel.errors = [DeliveryFailed("SMTP 451"), *[DeliveryUnknown("SMTPReadTimeoutError")] * 5]
    await service.plan_message()

    async with service.worker.run():
        for attempt in range(1, MAX_UNKNOWN_ATTEMPTS + 1):
            service.clock.now += await service.wait_for_retry(attempt)
        await wait_until(service.is_all_delivered)

    assert (service.delivery().outcome, service.channel.attempts) == ("unknown", MAX_UNKNOWN_ATTEMPTS + 1)


async def test_a_rejected_address_is_tried_once_and_a_new_address_gets_the_message(
    service: InMemoryNotifyHarness,
) -> None:
    service.channel.errors = [AddressRejected("SMTP 550")]
    await service.plan_message()

    async with service.worker.run():
        await wait_until(service.is_all_delivered)
        assert (service.channel.sent, service.channel.attempts) == ([], 1)

        new_address = ChannelAddresses(email="another@clinic.example")
        await service.planner.update_channels(None, service.rupture.clinician_id, new_address)
        await wait_until(service.is_all_delivered)

    assert len(service.channel.sent) == 1


async def test_a_message_that_is_no_longer_needed_is_not_sent(service: InMemoryNotifyHarness) -> None:
    s = service.rupture
    await service.plan_message()
    await service.projector.handle_batch([s.updated(4)])

    async with service.worker.run():
        await wait_until(service.is_all_delivered)
        assert service.channel.sent == []

        await service.projector.handle_batch([s.changed(5), s.updated(5, 0)])  # the episode is open again
        await wait_until(service.is_all_delivered)

    assert len(service.channel.sent) == 1


async def test_an_escalation_is_sent_once_more(service: InMemoryNotifyHarness) -> None:
    s = service.rupture
    await service.plan_message()

    async with service.worker.run():
        await wait_until(service.is_all_delivered)
        await service.acknowledge(s.alert_id())
        await service.projector.handle_batch([s.changed(4), s.updated(4, 0)])
        assert await service.statuses(s.clinician_id) == [("concern", "acknowledged")]
        await service.projector.handle_batch([s.changed(5, "urgent"), s.updated(5, 0)])
        await wait_until(service.is_all_delivered)

    assert await service.statuses(s.clinician_id) == [("urgent", "open")]
    assert [notification.change for notification in service.channel.sent] == ["raised", "rose"]
    assert {severity for _, severity in service.raised_alerts()} == {"concern", "urgent"}


async def test_a_running_attempt_may_finish_when_the_service_stops(service: InMemoryNotifyHarness) -> None:
    service.channel.is_open.clear()
    await service.plan_message()

    async with service.worker.run():
        await service.wait_for_attempt(1)
        asyncio.get_running_loop().call_later(0.1, service.channel.is_open.set)

    assert len(service.channel.sent) == 1
    assert await service.is_all_delivered()


async def test_an_attempt_that_does_not_finish_is_cancelled_when_the_service_stops() -> None:
    service = InMemoryNotifyHarness(replace(SETTINGS, shutdown_timeout_seconds=0.05))
    service.channel.is_open.clear()
    await service.plan_message()

    async with service.worker.run():
        await service.wait_for_attempt(1)

    assert (service.channel.cancelled, service.delivery().is_claimed) == (1, True)


async def test_an_attempt_may_take_longer_than_its_lease(service: InMemoryNotifyHarness) -> None:
    service.channel.is_open.clear()
    await service.plan_message()
    other = InMemoryNotifyHarness(SETTINGS, service.clock, service.delivery_memory, service.memory)

    async with service.worker.run(), other.worker.run():
        await service.wait_for_attempt(1)
        for _ in range(5):
            service.clock.now += LEASE / 2
            await wait_until(lambda: _is_true(service.delivery().due_at == service.clock.now + LEASE))  # renewed
        service.channel.is_open.set()
        await wait_until(service.is_all_delivered)

    assert (len(service.channel.sent), service.channel.attempts) == (1, 1)


class CountingStore(InMemoryDeliveryStore):
    """Counts how often workers look for due deliveries."""

    claims = 0

    async def claim(self, channel: ChannelName, lease: timedelta, *, include_expired: bool) -> ClaimedDelivery | None:
        self.claims += 1
        return await super().claim(channel, lease, include_expired=include_expired)


async def test_a_message_claimed_by_a_crashed_worker_is_sent_by_another_after_lease_and_takeover_delay() -> None:
    clock = ManualClock(NOW)
    store = CountingStore(clock)
    service = InMemoryNotifyHarness(SETTINGS, clock, store)
    await service.plan_message()
    assert await store.claim("email", LEASE, include_expired=False) is not None  # and crashes
    clock.now += LEASE

    async with service.worker.run():
        clock.now += timedelta(seconds=SETTINGS.takeover_delay_seconds)
        checked = store.claims + 3 * SETTINGS.concurrency
        await wait_until(lambda: _is_true(store.claims > checked))
        assert service.channel.attempts == 0

        clock.now += timedelta(milliseconds=1)
        await wait_until(service.is_all_delivered)

    assert (len(service.channel.sent), service.delivery().attempts) == (1, 2)


async def test_a_worker_that_lost_its_lease_stops_sending_and_records_nothing(service: InMemoryNotifyHarness) -> None:
    service.channel.is_open.clear()
    await service.plan_message()

    async with service.worker.run():
        await service.wait_for_attempt(1)
        service.clock.now += LEASE  # it was paused for as long
        claimed = await service.delivery_store.claim("email", LEASE, include_expired=True)
        assert claimed is not None
        assert claimed.attempts == 2
        await wait_until(lambda: _is_true(service.channel.cancelled == 1))
        service.channel.is_open.set()
        await service.delivery_store.complete(claimed, "sent")

    assert (service.channel.sent, service.delivery().outcome, service.delivery().attempts) == ([], "sent", 2)
    assert service.delivery_count("sent") == 0


class ReplanningStore(InMemoryDeliveryStore):
    """While a delivery is cancelled, `replan` makes it needed again."""

    replan: Callable[[], Awaitable[bool]]

    async def cancel(self, claimed: ClaimedDelivery) -> None:
        await self.replan()
        await super().cancel(claimed)


async def test_a_message_that_is_needed_again_while_it_is_cancelled_is_sent() -> None:
    clock = ManualClock(NOW)
    store = ReplanningStore(clock)
    service = InMemoryNotifyHarness(SETTINGS, clock, store)
    clinician_id = service.rupture.clinician_id
    store.replan = partial(service.planner.update_channels, None, clinician_id, EMAIL_ADDRESS)
    await service.plan_message()
    await service.planner.update_channels(None, clinician_id, ChannelAddresses())  # nobody needs a message now

    async with service.worker.run():
        await wait_until(lambda: _is_true(len(service.channel.sent) == 1))


async def _is_true(value: bool) -> bool:
    return value
