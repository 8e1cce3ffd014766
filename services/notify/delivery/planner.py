"""Which messages must be sent, derived from the current alerts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from services.notify.domain.alert import Alert
from services.notify.domain.routing import (
    CHANNEL_NAMES,
    ChannelAddresses,
    ChannelName,
    is_recent,
    notifiable_change,
    plan_deliveries,
)
from services.notify.store import DeliveryStore, Store
from shared.access.clinic_id import ClinicId


class DeliveryPlanner:
    """Derives the deliveries that are needed from the current alerts, and stores them. It sends nothing."""

    def __init__(
        self, store: Store, delivery_store: DeliveryStore, clock: Callable[[], datetime], max_sign_age: timedelta
    ) -> None:
        self._store = store
        self._delivery_store = delivery_store
        self._clock = clock
        self._max_sign_age = max_sign_age
        self.planned: Mapping[ChannelName, asyncio.Event] = {name: asyncio.Event() for name in CHANNEL_NAMES}
        """Set whenever deliveries were planned, so that a worker in the same process sends them at once."""

    async def plan(self, alerts: Sequence[Alert]) -> None:
        """Add the deliveries that the current `alerts` need. Idempotent."""
        now = self._clock()
        notifiable = [a for a in alerts if notifiable_change(a) and is_recent(a, now, self._max_sign_age)]
        if not notifiable:
            return
        addresses = await self._store.load_channels({a.clinician_id for a in notifiable if a.clinician_id is not None})
        planned = [delivery for alert in notifiable for delivery in plan_deliveries(alert, addresses)]
        await self._delivery_store.add(planned, now)
        self._wake_worker()

    async def update_channels(self, clinic: ClinicId | None, clinician_id: UUID, addresses: ChannelAddresses) -> bool:
        """Use these addresses from now on, also for messages that could not be delivered before. Idempotent.

        False if the clinic has no such clinician.
        """
        if not await self._store.save_channels(clinic, clinician_id, addresses):
            return False
        now = self._clock()
        since = now - self._max_sign_age
        await self._delivery_store.reopen_failed(clinic, clinician_id, since, now)
        # Not earlier: an alert that is written after this query is planned with the new addresses anyway.
        await self.plan(await self._store.list_alerts_to_send(clinic, clinician_id, since))
        self._wake_worker()
        return True

    async def plan_missing(self) -> None:
        """Plan the deliveries that a crash between two steps left unplanned. Idempotent."""
        await self.plan(await self._store.list_active_alerts(self._clock() - self._max_sign_age))

    def _wake_worker(self) -> None:
        for planned in self.planned.values():
            planned.set()
