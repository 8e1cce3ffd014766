"""Handling batches of events on MongoDB with either driver, with crashes in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.notify.channels import AddressRejected, DeliveryFailed, DeliveryUnknown, Notification, email
from services.notify.delivery import SEND_TIMEOUT_SECONDS, DeliveryWorker
from services.notify.domain.routing import MAX_UNKNOWN_ATTEMPTS, UNKNOWN_OUTCOME_WAIT, ChannelAddresses
from services.notify.handlers import AlertProjector
from services.notify.metrics import Metrics
from services.notify.service import InboxService
from services.notify.store import ALERTS, DeliveryStore, Store
from services.notify.store.deliveries import DUE_IMMEDIATELY
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.events import AlertRaised, Event
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Document, Mongo
from shared.outbox.relay import Outbox
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until

EMAIL_ADDRESS = ChannelAddresses(email="someone@clinic.example")


class FakeChannel:
    """A channel that records what it is sent; `errors` are raised first."""

    def __init__(self) -> None:
        self.sent: list[Notification] = []
        self.errors: list[Exception] = []
        self.attempts = 0
        self.cancelled = 0
        """Attempts that their sender cancelled."""
        self.is_open = asyncio.Event()
        self.is_open.set()

    async def send(self, notification: Notification, addresses: ChannelAddresses) -> None:
        self.attempts += 1
        try:
            await self.is_open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append(notification)


class NotifyHarness:
    """The notify service without Kafka and HTTP; several can share a database, each with its own clock."""

    def __init__(
        self,
        mongo: Mongo,
        channel: FakeChannel,
        clock_offset: timedelta = timedelta(0),
        first_retry_wait: timedelta = timedelta(milliseconds=50),
    ) -> None:
        self.mongo = mongo
        self.published: list[Event] = []
        self.publish_failures = 0
        self.clock_offset = clock_offset
        registry = CollectorRegistry()
        self.registry = registry
        metrics = Metrics(registry)
        outbox = Outbox(
            Kafka("unused:1", "notify", KafkaMetrics(registry), self.clock), [mongo[ALERTS]], registry, self.clock
        )
        self.store = Store(mongo, outbox, self.clock)
        self.delivery_store = DeliveryStore(mongo)
        self.delivery_worker = DeliveryWorker(
            self.store,
            self.delivery_store,
            {"email": channel, "webhook": channel},
            metrics,
            self.clock,
            inbox_url=lambda clinician: f"https://attune.example/inbox/{clinician}",
            max_sign_age=timedelta(days=7),
            first_retry_wait=first_retry_wait,
            give_up_after=timedelta(days=3),
            concurrency=4,
        )
        self.inbox = InboxService(self.store, self.clock, metrics)
        self.project = AlertProjector(self.store, self.delivery_worker, self._publish, metrics)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.clock_offset

    async def _publish(self, events: Sequence[Event]) -> None:
        if self.publish_failures:
            self.publish_failures -= 1
            raise BrokerUnavailable("Kafka is unavailable")
        self.published += events

    def raised_alerts(self) -> set[tuple[UUID, str]]:
        return {(e.id, e.severity) for e in self.published if isinstance(e, AlertRaised)}

    def delivery_count(self, outcome: str) -> float | None:
        labels = {"channel": "email", "outcome": outcome}
        return self.registry.get_sample_value("attune_notify_deliveries_total", labels)

    async def statuses(self, clinician: UUID) -> list[tuple[str, str]]:
        return [(a.severity, a.status) for a in (await self.inbox.get_inbox(clinician)).alerts]

    async def is_all_delivered(self) -> bool:
        return (await self.delivery_store.count_due())[0] == 0

    async def make_due(self) -> None:
        """Make every unfinished delivery due now."""
        await self.mongo["deliveries"].update_many(
            {"next_at": {"$exists": True}}, {"$set": {"next_at": DUE_IMMEDIATELY}}
        )

    async def is_waiting_for_retry(self, unknown_attempts: int) -> bool:
        """Whether the delivery waits after that many attempts with an unknown outcome."""
        found = await self.delivery()
        return "held" not in found and found.get("unsure") == unknown_attempts

    async def delivery(self) -> Document:
        (found,) = await self.mongo["deliveries"].find({}).to_list(2)
        return found


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, mongodb_uri: str) -> AsyncIterator[Mongo]:
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", cast("Literal['motor', 'pymongo']", request.param))
    yield mongo
    await mongo.close()


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def service(mongo: Mongo, channel: FakeChannel) -> NotifyHarness:
    return NotifyHarness(mongo, channel)


async def test_a_batch_delivered_again_raises_no_new_alerts(service: NotifyHarness, channel: FakeChannel) -> None:
    s = RuptureBuilder()
    batch = [s.started(), s.suspected(3), s.updated(3, 0)]
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)

    async with service.delivery_worker.run():
        for _ in range(3):
            await service.project(batch)
        await wait_until(service.is_all_delivered)

    assert await service.statuses(s.clinician_id) == [("concern", "open")]
    assert len(channel.sent) == 1
    assert len(service.raised_alerts()) == 1
    assert service.registry.get_sample_value("attune_notify_alerts_raised_total", {"severity": "concern"}) == 1


async def test_events_that_could_not_be_published_are_published_at_the_next_attempt(service: NotifyHarness) -> None:
    s = RuptureBuilder()
    batch = [s.started(), s.suspected(3), s.updated(3, 0)]
    service.publish_failures = 1

    with pytest.raises(BrokerUnavailable):
        await service.project(batch)
    await service.project(batch)

    assert len(service.raised_alerts()) == 1


async def test_later_changes_do_not_publish_an_alert_again(service: NotifyHarness) -> None:
    s = RuptureBuilder()
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    await service.project([s.changed(4), s.updated(4, 0), s.updated(5, 0)])

    assert len(service.published) == 1


async def test_an_alert_waits_for_its_relationship(service: NotifyHarness, channel: FakeChannel) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)

    async with service.delivery_worker.run():
        await service.project([s.suspected(3), s.updated(3, 0)])
        assert (service.published, channel.sent) == ([], [])

        await service.project([s.started()])
        await wait_until(service.is_all_delivered)

    assert await service.statuses(s.clinician_id) == [("concern", "open")]
    assert (len(service.published), len(channel.sent)) == (1, 1)


async def test_channels_that_are_set_later_get_the_open_alerts(service: NotifyHarness, channel: FakeChannel) -> None:
    s = RuptureBuilder()
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.delivery_worker.run():
        await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
        await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
        await wait_until(service.is_all_delivered)

    assert len(channel.sent) == 1


async def test_deliveries_missed_by_a_crash_are_planned_at_the_next_start(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])
    await service.store.save_channels(s.clinician_id, EMAIL_ADDRESS)  # and crashed before planning

    async with service.delivery_worker.run():
        await wait_until(lambda: _is_true(len(channel.sent) == 1))


async def test_a_watch_alert_is_shown_and_not_sent(service: NotifyHarness, channel: FakeChannel) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)

    await service.project([s.started(), s.suspected(3, "watch"), s.updated(3, 0)])

    assert await service.statuses(s.clinician_id) == [("watch", "open")]
    assert (await service.delivery_store.count_due())[0] == 0
    assert {severity for _, severity in service.raised_alerts()} == {"watch"}


async def test_an_alert_from_history_is_shown_and_not_sent_until_a_newer_sign_comes(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3, days_ago=30), s.updated(3, 0)])
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.delivery_worker.plan_missing()

    assert await service.statuses(s.clinician_id) == [("concern", "open")]
    assert (await service.delivery_store.count_due())[0] == 0

    async with service.delivery_worker.run():
        await service.project([s.changed(4, days_ago=1), s.updated(4, 0)])
        await wait_until(service.is_all_delivered)

    assert len(channel.sent) == 1


async def test_an_escalation_is_sent_once_more(service: NotifyHarness, channel: FakeChannel) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)

    async with service.delivery_worker.run():
        await service.project([s.started(), s.suspected(3), s.updated(3, 0)])
        await wait_until(service.is_all_delivered)
        await service.inbox.acknowledge(s.alert_id())
        await service.project([s.changed(4), s.updated(4, 0)])
        assert await service.statuses(s.clinician_id) == [("concern", "acknowledged")]
        await service.project([s.changed(5, "urgent"), s.updated(5, 0)])
        await wait_until(service.is_all_delivered)

    assert await service.statuses(s.clinician_id) == [("urgent", "open")]
    assert [notification.change for notification in channel.sent] == ["raised", "rose"]
    assert [severity for _, severity in sorted(service.raised_alerts(), key=lambda r: r[1])] == ["concern", "urgent"]


async def test_repair_and_retraction_are_shown_in_the_inbox_only(service: NotifyHarness, channel: FakeChannel) -> None:
    a = RuptureBuilder()
    b = RuptureBuilder(clinician_id=a.clinician_id)
    await service.project([e for s in (a, b) for e in (s.started(), s.suspected(3), s.updated(3, 0))])

    await service.project([a.repaired(4), a.updated(4), b.updated(4)])

    assert sorted(await service.statuses(a.clinician_id)) == [("concern", "repaired"), ("concern", "retracted")]


async def test_a_message_that_is_no_longer_needed_is_not_sent(service: NotifyHarness, channel: FakeChannel) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])
    assert (await service.delivery_store.count_due())[0] == 1
    await service.project([s.updated(4)])

    async with service.delivery_worker.run():
        await wait_until(service.is_all_delivered)
        assert channel.sent == []

        await service.project([s.changed(5), s.updated(5, 0)])  # the episode is open again
        await wait_until(service.is_all_delivered)

    assert len(channel.sent) == 1


async def test_several_workers_never_send_a_message_twice(mongo: Mongo, channel: FakeChannel) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(clinician_id=clinician) for _ in range(40)]
    one, other = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel)
    await one.delivery_worker.update_channels(clinician, EMAIL_ADDRESS)
    batch = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]

    async with one.delivery_worker.run(), other.delivery_worker.run():
        await asyncio.gather(one.project(batch), other.project(batch))
        await wait_until(one.is_all_delivered)

    assert sorted(n.alert_id for n in channel.sent) == sorted(s.alert_id() for s in relationships)


async def test_concurrent_writers_of_the_same_alerts_converge(mongo: Mongo, channel: FakeChannel) -> None:
    clinician = uuid4()
    relationships = [RuptureBuilder(clinician_id=clinician) for _ in range(20)]
    one, other = NotifyHarness(mongo, channel), NotifyHarness(mongo, channel)
    first = [e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))]
    later = [e for s in relationships for e in (s.changed(4, "urgent"), s.updated(4, 0), s.updated(5))]

    await asyncio.gather(one.project(first), other.project(later), other.project(first), one.project(later))

    assert await one.statuses(clinician) == [("urgent", "retracted")] * 20


async def test_concurrent_changes_by_a_clinician_and_by_alliance_are_both_kept(service: NotifyHarness) -> None:
    relationships = [RuptureBuilder() for _ in range(10)]
    await service.project([e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))])

    await asyncio.gather(
        service.project([e for s in relationships for e in (s.changed(4), s.updated(4, 0))]),
        *(service.inbox.acknowledge(s.alert_id()) for s in relationships),
    )

    for s in relationships:
        stored = await service.mongo[ALERTS].find_one({"_id": s.alert_id()})
        assert stored is not None
        assert (stored["status"], stored["said"]["version"]) == ("acknowledged", 4)
        assert len(stored["owed"]) == 1


async def test_the_alerts_of_an_erased_client_are_deleted_and_stay_deleted(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    await service.project([s.erased()])
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    assert await service.statuses(s.clinician_id) == []
    assert await service.mongo[ALERTS].count_documents({}) == 0
    async with service.delivery_worker.run():
        await wait_until(service.is_all_delivered)
    assert channel.sent == []


async def test_a_message_is_retried_until_it_is_accepted(service: NotifyHarness, channel: FakeChannel) -> None:
    s = RuptureBuilder()
    channel.errors = [
        DeliveryFailed("SMTP 451"),
        TimeoutError(),
        RuntimeError("a bug"),
        StoreUnavailable("MongoDB is unavailable"),
    ]
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.delivery_worker.run():
        await wait_until(service.is_all_delivered)

    assert (len(channel.sent), channel.attempts) == (1, 5)


async def test_a_running_attempt_may_finish_when_the_service_stops(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    channel.is_open.clear()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.delivery_worker.run():
        await wait_until(lambda: _is_true(channel.attempts == 1))
        asyncio.get_running_loop().call_later(0.2, channel.is_open.set)

    assert len(channel.sent) == 1
    assert await service.is_all_delivered()


async def test_a_message_that_is_never_accepted_is_given_up_and_counted(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])
    channel.errors = [DeliveryFailed("SMTP 451")]
    service.clock_offset = timedelta(days=3, minutes=1)

    async with service.delivery_worker.run():
        await wait_until(service.is_all_delivered)

    assert (await service.delivery())["outcome"] == "failed"
    assert channel.attempts == 1
    assert service.delivery_count("failed") == 1


async def test_a_message_that_may_have_arrived_is_sent_again_only_much_later(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    channel.errors = [DeliveryUnknown("SMTPReadTimeoutError")]
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.delivery_worker.run():
        await wait_until(lambda: service.is_waiting_for_retry(1))
        waiting = await service.delivery()
        assert waiting["next_at"] > service.clock() + UNKNOWN_OUTCOME_WAIT - timedelta(minutes=1)
        assert (channel.sent, channel.attempts) == ([], 1)

        await service.make_due()
        await wait_until(service.is_all_delivered)

    assert (len(channel.sent), channel.attempts) == (1, 2)


async def test_a_message_that_may_have_arrived_is_sent_a_few_times_at_most(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    channel.errors = [DeliveryFailed("SMTP 451"), *[DeliveryUnknown("SMTPReadTimeoutError")] * 5]
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.delivery_worker.run():
        for unknown_attempts in range(1, MAX_UNKNOWN_ATTEMPTS):
            await wait_until(lambda unknown_attempts=unknown_attempts: service.is_waiting_for_retry(unknown_attempts))  # type: ignore[misc]
            await service.make_due()
        await wait_until(service.is_all_delivered)

    assert (await service.delivery())["outcome"] == "unsure"
    assert channel.attempts == MAX_UNKNOWN_ATTEMPTS + 1


async def test_an_attempt_may_take_as_long_as_a_mail_server() -> None:
    responses = 10  # greeting, EHLO, STARTTLS, EHLO, a login in three steps, MAIL, RCPT, DATA

    assert responses * email.RESPONSE_TIMEOUT_SECONDS + email.DATA_RESPONSE_TIMEOUT_SECONDS < SEND_TIMEOUT_SECONDS


async def test_a_rejected_address_is_tried_once_and_a_new_address_gets_the_message(
    service: NotifyHarness, channel: FakeChannel
) -> None:
    s = RuptureBuilder()
    channel.errors = [AddressRejected("SMTP 550")]
    await service.delivery_worker.update_channels(s.clinician_id, EMAIL_ADDRESS)
    await service.project([s.started(), s.suspected(3), s.updated(3, 0)])

    async with service.delivery_worker.run():
        await wait_until(service.is_all_delivered)
        assert (channel.sent, channel.attempts) == ([], 1)

        await service.delivery_worker.update_channels(s.clinician_id, ChannelAddresses(email="another@clinic.example"))
        await wait_until(lambda: _is_true(len(channel.sent) == 1))


async def test_a_batch_takes_a_few_round_trips_whatever_its_size(
    service: NotifyHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted at the store, whose methods each take a whole batch."""
    calls: list[str] = []

    def count_calls(name: str) -> None:
        method = getattr(service.store, name)

        async def call(*args: object) -> object:
            calls.append(name)
            return await method(*args)

        monkeypatch.setattr(service.store, name, call)

    for name in (
        "load_relationships",
        "save_relationships",
        "load_versioned_alerts",
        "save_alerts",
        "load_channels",
        "save_clinicians",
    ):
        count_calls(name)
    relationships = [RuptureBuilder() for _ in range(300)]

    await service.project([e for s in relationships for e in (s.started(), s.suspected(3), s.updated(3, 0))])

    assert len(calls) == 6


async def _is_true(value: bool) -> bool:
    return value
