"""The notify service in memory, with a clock that a test sets forward."""

from datetime import UTC, datetime, timedelta

from services.notify.delivery.worker import DeliverySettings
from services.notify.store.memory import InMemoryDeliveryStore, InMemoryStore, StoredDelivery
from tests.support.notify_harness import DELIVERY_SETTINGS, EMAIL_ADDRESS, FakeChannel, ManualClock, NotifyHarness
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


class InMemoryNotifyHarness(NotifyHarness):
    """One process of the service; several can share the stores."""

    def __init__(
        self,
        settings: DeliverySettings = DELIVERY_SETTINGS,
        clock: ManualClock | None = None,
        delivery_store: InMemoryDeliveryStore | None = None,
        store: InMemoryStore | None = None,
    ) -> None:
        self.clock = clock or ManualClock(NOW)
        self.channel = FakeChannel()
        self.memory = store or InMemoryStore()
        self.memory.clock = self.clock
        self.delivery_memory = delivery_store or InMemoryDeliveryStore(self.clock)
        self.rupture = RuptureBuilder(NOW)
        super().__init__(self.memory, self.delivery_memory, self.channel, self.clock, settings, self.clock.monotonic)

    async def plan_message(self) -> None:
        """Raise an alert that its clinician must be sent by e-mail."""
        s = self.rupture
        await self.planner.update_channels(None, s.clinician_id, EMAIL_ADDRESS)
        await self.projector.handle_batch([s.started(), s.suspected(3), s.updated(3, 0)])

    def delivery(self) -> StoredDelivery:
        (stored,) = self.delivery_memory.deliveries.values()
        return stored

    async def due_count(self) -> int:
        return (await self.delivery_store.count_due())[0]

    async def wait_for_attempt(self, number: int) -> None:
        """Wait until that attempt has begun."""

        async def has_begun() -> bool:
            return self.channel.attempts == number

        await wait_until(has_begun)

    async def wait_for_retry(self, after: int) -> timedelta:
        """Wait until that attempt has failed, and return the time until the next one."""

        async def has_failed() -> bool:
            return self.delivery().attempts == after and not self.delivery().is_claimed

        await wait_until(has_failed)
        due_at = self.delivery().due_at
        assert due_at is not None
        return due_at - self.clock.now
