"""Planning deliveries from the current alerts, and attempting each until it is accepted or given up and logged."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from services.notify.channels import AddressRejected, ChannelsByName, DeliveryUnknown, Notification
from services.notify.domain.alert import Alert
from services.notify.domain.routing import (
    MAX_UNKNOWN_ATTEMPTS,
    UNKNOWN_OUTCOME_WAIT,
    ChannelAddresses,
    Delivery,
    is_recent,
    notifiable_change,
    plan_deliveries,
    retry_wait,
)
from services.notify.metrics import DeliveryOutcome, Metrics
from services.notify.store import ClaimedDelivery, DeliveryStore, Store
from shared.errors import StoreUnavailable, Transient
from shared.runtime.background import retry_until_done, run_in_background

log = structlog.get_logger()

SEND_TIMEOUT_SECONDS = 240.0
"""Limit for one attempt: more than a mail server needs for all its responses."""
RENEW_INTERVAL_SECONDS = 10.0
"""Between two renewals during an attempt: if one fails, there is time for another before the lease ends."""
TAKEOVER_DELAY_SECONDS = 20.0
"""After a database outage, no expired lease is taken over for this long: its owner could not renew it either."""
DUE_CHECK_INTERVAL_SECONDS = 5.0
"""Between two checks for deliveries that are due again or were left by a crashed process."""
SHUTDOWN_TIMEOUT_SECONDS = 10.0
"""How long running attempts may take to finish when the service stops."""


class DeliveryWorker:
    """Plans deliveries and sends them, a few at once.

    Each change is sent once per channel, with two exceptions that no sender can avoid. First, a message is sent again
    if the process stops between the receiver's acceptance and recording it, or if in that time it is paused or cut
    off from the database for longer than the lease. Second, if the response is lost after the receiver had the whole
    message, the receiver may or may not have accepted it: the message is sent again an hour later, at most three
    times in all. Every copy has the same Message-ID or webhook-id, so that receivers can drop duplicates.
    """

    def __init__(
        self,
        store: Store,
        delivery_store: DeliveryStore,
        channels: ChannelsByName,
        metrics: Metrics,
        clock: Callable[[], datetime],
        *,
        inbox_url: Callable[[UUID], str],
        max_sign_age: timedelta,
        first_retry_wait: timedelta,
        give_up_after: timedelta,
        concurrency: int,
    ) -> None:
        self._store = store
        self._delivery_store = delivery_store
        self._channels = channels
        self._metrics = metrics
        self._clock = clock
        self._inbox_url = inbox_url
        self._max_sign_age = max_sign_age
        self._first_retry_wait = first_retry_wait
        self._give_up_after = give_up_after
        self._concurrency = concurrency
        self._wake_up = asyncio.Event()
        self._active_tasks: set[asyncio.Task[None]] = set()
        self._takeover_allowed_after = 0.0

    async def plan(self, alerts: Sequence[Alert]) -> None:
        """Add the deliveries that the current `alerts` need. Idempotent."""
        now = self._clock()
        notifiable = [a for a in alerts if notifiable_change(a) and is_recent(a, now, self._max_sign_age)]
        if not notifiable:
            return
        addresses = await self._store.load_channels({a.clinician_id for a in notifiable if a.clinician_id is not None})
        planned = [delivery for alert in notifiable for delivery in plan_deliveries(alert, addresses)]
        await self._delivery_store.add(planned, now)
        self._wake_up.set()

    async def update_channels(self, clinician_id: UUID, addresses: ChannelAddresses) -> None:
        """Use these addresses from now on, also for messages that could not be delivered before. Idempotent."""
        await self._store.save_channels(clinician_id, addresses)
        now = self._clock()
        since = now - self._max_sign_age
        await self._delivery_store.reopen_failed(clinician_id, since, now)
        # Not earlier: an alert that is written after this query is planned with the new addresses anyway.
        await self.plan(await self._store.list_active_alerts(since, clinician_id))
        self._wake_up.set()

    async def plan_missing(self) -> None:
        """Plan the deliveries that a crash between two steps left unplanned. Idempotent."""
        await self.plan(await self._store.list_active_alerts(self._clock() - self._max_sign_age))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Deliver what is due until the block ends; running attempts may then finish."""
        self._delay_takeover()  # the database may have been unavailable until now
        planning = retry_until_done("plan deliveries missed by a crash", self.plan_missing)
        async with run_in_background(planning, *(self._work_loop() for _ in range(self._concurrency))):
            yield
        if self._active_tasks:
            _, unfinished = await asyncio.wait(self._active_tasks, timeout=SHUTDOWN_TIMEOUT_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _work_loop(self) -> None:
        while True:
            self._wake_up.clear()
            await retry_until_done("deliver messages", self._deliver_due)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake_up.wait(), DUE_CHECK_INTERVAL_SECONDS)

    async def _deliver_due(self) -> None:
        while (claimed := await self._claim()) is not None:
            task = asyncio.create_task(self._deliver(claimed))
            self._active_tasks.add(task)
            task.add_done_callback(self._active_tasks.discard)
            await asyncio.shield(task)  # a shutdown does not interrupt a running attempt

    async def _claim(self) -> ClaimedDelivery | None:
        try:
            return await self._delivery_store.claim(include_expired=time.monotonic() > self._takeover_allowed_after)
        except StoreUnavailable:
            self._delay_takeover()
            raise

    def _delay_takeover(self) -> None:
        self._takeover_allowed_after = time.monotonic() + TAKEOVER_DELAY_SECONDS

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        started = time.perf_counter()
        outcome = await self._attempt_under_lease(claimed)
        if outcome is None:
            return
        self._metrics.count_attempt(claimed.delivery.channel, outcome, time.perf_counter() - started)
        unknown_attempts = claimed.unknown_attempts + (outcome == "unsure")
        match outcome:
            case "retried":
                wait = retry_wait(claimed.attempts, self._first_retry_wait)
                record_outcome = partial(self._delivery_store.schedule_retry, claimed, wait, unknown_attempts)
            case "unsure" if unknown_attempts < MAX_UNKNOWN_ATTEMPTS:
                record_outcome = partial(
                    self._delivery_store.schedule_retry, claimed, UNKNOWN_OUTCOME_WAIT, unknown_attempts
                )
            case "not_needed":
                record_outcome = partial(self._cancel, claimed)
            case _:
                record_outcome = partial(self._delivery_store.complete, claimed, outcome)
        await retry_until_done("record a delivery outcome", record_outcome)
        if outcome == "sent":
            wait_seconds = (self._clock() - claimed.planned_at).total_seconds()
            self._metrics.observe_wait(claimed.delivery.channel, wait_seconds)

    async def _cancel(self, claimed: ClaimedDelivery) -> None:
        """Cancel the delivery, then plan again: it may be needed by now, and could not be added while it existed."""
        await self._delivery_store.cancel(claimed)
        await self.plan(list((await self._store.load_alerts([claimed.delivery.alert_id])).values()))

    async def _attempt_under_lease(self, claimed: ClaimedDelivery) -> DeliveryOutcome | None:
        """The outcome of one attempt; None when another worker took the lease over and attempts it now."""
        try:
            async with asyncio.timeout(None) as lease_scope, run_in_background(self._renew_lease(claimed, lease_scope)):
                return await self._attempt(claimed)
        except TimeoutError:
            log.warning(
                "delivery lease lost during an attempt: another worker took over", delivery_id=str(claimed.delivery.id)
            )
            return None

    async def _renew_lease(self, claimed: ClaimedDelivery, lease_scope: asyncio.Timeout) -> None:
        """Renew the lease until it is lost; then end `lease_scope`."""

        async def renew() -> None:
            if not await self._delivery_store.renew(claimed):
                lease_scope.reschedule(asyncio.get_running_loop().time())

        while True:
            await asyncio.sleep(RENEW_INTERVAL_SECONDS)
            await retry_until_done("renew a delivery lease", renew)

    async def _attempt(self, claimed: ClaimedDelivery) -> DeliveryOutcome:
        delivery = claimed.delivery
        log_context = {"delivery_id": str(delivery.id), "alert_id": str(delivery.alert_id), "channel": delivery.channel}
        try:
            alert, addresses = await self._load_current(delivery)
            if (
                alert is None
                or notifiable_change(alert) != delivery.change
                or delivery.channel not in addresses.names()
            ):
                return "not_needed"
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._channels[delivery.channel].send(self._notification(claimed, alert), addresses)
        except AddressRejected as error:
            log.warning("delivery address rejected permanently by the receiver", **log_context, reason=str(error))
            return "refused"
        except DeliveryUnknown as error:
            log.warning(
                "delivery outcome unknown: the response was lost after the message was sent",
                **log_context,
                reason=str(error),
                unknown_attempts=claimed.unknown_attempts + 1,
            )
            return "unsure"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, Transient) else type(error).__name__
            if self._clock() - claimed.planned_at > self._give_up_after:
                log.error("delivery failed: giving up", **log_context, reason=reason)
                return "failed"
            is_expected = isinstance(error, Transient | TimeoutError)  # a bug needs its traceback
            log.warning("delivery attempt failed: retrying", **log_context, reason=reason, exc_info=not is_expected)
            return "retried"
        return "sent"

    async def _load_current(self, delivery: Delivery) -> tuple[Alert | None, ChannelAddresses]:
        alerts = await self._store.load_alerts([delivery.alert_id])
        addresses = await self._store.load_channels([delivery.clinician_id])
        return alerts.get(delivery.alert_id), addresses.get(delivery.clinician_id, ChannelAddresses())

    def _notification(self, claimed: ClaimedDelivery, alert: Alert) -> Notification:
        delivery = claimed.delivery
        return Notification(
            delivery_id=delivery.id,
            sent_at=claimed.claimed_at,
            alert_id=delivery.alert_id,
            change=delivery.change,
            severity=alert.severity,
            url=self._inbox_url(delivery.clinician_id),
        )
