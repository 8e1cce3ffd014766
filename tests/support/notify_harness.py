"""The notify service without Kafka and HTTP, with a channel that records what it is sent."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from services.notify.channels import ChannelsByName, Notification
from services.notify.delivery.planner import DeliveryPlanner
from services.notify.delivery.worker import DeliverySettings, DeliveryWorker
from services.notify.domain.disposition import DispositionAction
from services.notify.domain.disposition_requests import DispositionRequest
from services.notify.domain.routing import ChannelAddresses
from services.notify.handlers import AlertProjector
from services.notify.metrics import Metrics
from services.notify.service import InboxAlert, InboxService, Retention, RetentionService
from services.notify.store import DeliveryStore, Store
from shared.errors import BrokerUnavailable
from shared.events import AlertRaised, Event
from shared.runtime.clock import now

EMAIL_ADDRESS = ChannelAddresses(email="someone@clinic.example")
MAX_SIGN_AGE = timedelta(days=7)
ALERT_RETENTION, DELIVERY_RETENTION = timedelta(days=730), timedelta(days=90)
DELIVERY_SETTINGS = DeliverySettings(
    public_url="https://attune.example/",
    first_retry_wait=timedelta(milliseconds=50),
    give_up_after=timedelta(days=3),
    concurrency=4,
    due_check_interval_seconds=0.1,
)


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


class ManualClock:
    """A clock that stands still until a test sets it forward."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return self.now.timestamp()


class NotifyHarness:
    """One process of the service; several can share the stores, each with its own clock."""

    def __init__(
        self,
        store: Store,
        delivery_store: DeliveryStore,
        channel: FakeChannel,
        clock: Callable[[], datetime] = now,
        settings: DeliverySettings = DELIVERY_SETTINGS,
        monotonic_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self.delivery_store = delivery_store
        self.published: list[Event] = []
        self.publish_failures = 0
        self.registry = CollectorRegistry()
        self.metrics = metrics = Metrics(self.registry, clock)
        self.channels: ChannelsByName = {"email": channel, "webhook": channel}
        self.planner = DeliveryPlanner(store, delivery_store, clock, MAX_SIGN_AGE)
        self.worker = DeliveryWorker(
            store, delivery_store, self.planner, self.channels, metrics, settings, clock, monotonic_clock
        )
        self.inbox = InboxService(store, self.planner, clock, metrics)
        self.projector = AlertProjector(store, self.planner, self._publish, metrics, ALERT_RETENTION)
        retention = Retention(ALERT_RETENTION, DELIVERY_RETENTION, MAX_SIGN_AGE)
        self.retention_service = RetentionService(store, delivery_store, retention, metrics)

    async def _publish(self, events: Sequence[Event]) -> None:
        if self.publish_failures:
            self.publish_failures -= 1
            raise BrokerUnavailable("Kafka is unavailable")
        self.published += events

    async def acknowledge(self, alert_id: UUID) -> InboxAlert:
        return await self._dispose(alert_id, "acknowledged")

    async def resolve(self, alert_id: UUID, useful: bool | None) -> InboxAlert:
        return await self._dispose(alert_id, "resolved", useful=useful)

    async def reopen(self, alert_id: UUID) -> InboxAlert:
        """Take back the disposition that decides the status."""
        return await self._dispose(
            alert_id, "reopened", disposition_id=(await self.inbox.get_alert(None, alert_id)).disposition_id
        )

    async def _dispose(self, alert_id: UUID, action: DispositionAction, **fields: Any) -> InboxAlert:
        """As a clinician does who sees the alert as it is now."""
        shown = (await self.inbox.get_alert(None, alert_id)).shown
        return await self.inbox.dispose(None, alert_id, DispositionRequest(uuid4(), action, shown, **fields))

    def raised_alerts(self) -> set[tuple[UUID, str]]:
        return {(e.id, e.severity) for e in self.published if isinstance(e, AlertRaised)}

    def delivery_count(self, outcome: str) -> float | None:
        labels = {"channel": "email", "outcome": outcome}
        return self.registry.get_sample_value("attune_notify_deliveries_total", labels)

    async def statuses(self, clinician: UUID) -> list[tuple[str, str]]:
        return [(a.severity, a.status) for a in (await self.inbox.get_inbox(None, clinician)).alerts]

    async def is_all_delivered(self) -> bool:
        return (await self.delivery_store.count_due())[0] == 0
