"""Sending the planned deliveries: each is attempted under a lease until it is accepted, or given up and logged."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog

from services.notify.channels import AddressRejected, ChannelsByName, DeliveryFailed, DeliveryUnknown, Notification
from services.notify.delivery.planner import DeliveryPlanner
from services.notify.domain.alert import Alert
from services.notify.domain.routing import (
    CHANNEL_NAMES,
    MAX_UNKNOWN_ATTEMPTS,
    UNKNOWN_OUTCOME_WAIT,
    ChannelAddresses,
    ChannelName,
    Delivery,
    DeliveryOutcome,
    notifiable_change,
    retry_wait,
)
from services.notify.metrics import Metrics
from services.notify.store import ClaimedDelivery, DeliveryStore, Store
from shared.errors import StoreUnavailable, Transient, describe
from shared.runtime.background import retry_until_done, run_in_background

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """What the operator chooses, and the times that follow from how leases work."""

    public_url: str
    """The base URL of the inbox; every message links to it."""
    first_retry_wait: timedelta
    """Wait after the first failed attempt; it doubles with each further one."""
    give_up_after: timedelta
    """A message that could not be delivered for this long is marked as failed."""
    concurrency: int
    """Maximum number of concurrent attempts through each channel."""
    send_timeout_seconds: float = 4800.0
    """Limit for one attempt: more than the slowest mail server may need for all its responses (RFC 5321, 4.5.3.2)."""
    lease: timedelta = timedelta(seconds=30)
    """How long a delivery stays claimed without a renewal: no longer than an urgent alert may wait."""
    renew_interval_seconds: float = 10.0
    """Between two renewals during an attempt: if one fails, there is time for another before the lease ends."""
    takeover_delay_seconds: float = 20.0
    """After a database outage, no expired lease is taken over for this long: its owner could not renew it either."""
    due_check_interval_seconds: float = 5.0
    """Between two checks for deliveries that are due again or were left by a crashed process."""
    shutdown_timeout_seconds: float = 10.0
    """How long running attempts may take to finish when the service stops."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What became of one attempt."""

    outcome: DeliveryOutcome
    retry_after: timedelta = timedelta(0)
    """How long the receiver asks to wait."""


class DeliveryWorker:
    """Sends what the planner stored, a few deliveries of each channel at once, so that no channel delays another.

    Each change is sent once per channel, with two exceptions that no sender can avoid. First, a message is sent again
    if the process stops between the receiver's acceptance and recording it, or if in that time it is paused or cut
    off from the database for longer than the lease. Second, if the response is lost after the receiver had the whole
    message, the receiver may or may not have accepted it. An e-mail is then sent again an hour later, at most three
    times in all; a webhook is retried like any failure, because its receiver drops duplicates by the webhook-id.
    """

    def __init__(
        self,
        store: Store,
        delivery_store: DeliveryStore,
        planner: DeliveryPlanner,
        channels: ChannelsByName,
        metrics: Metrics,
        settings: DeliverySettings,
        clock: Callable[[], datetime],
        monotonic_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._delivery_store = delivery_store
        self._planner = planner
        self._channels = channels
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._monotonic_clock = monotonic_clock
        self._active_tasks: set[asyncio.Task[None]] = set()
        self._takeover_allowed_after = 0.0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Deliver what is due until the block ends; running attempts may then finish."""
        self._delay_takeover()  # the database may have been unavailable until now
        loops = [self._work_loop(channel) for channel in CHANNEL_NAMES for _ in range(self._settings.concurrency)]
        async with run_in_background(*loops):
            yield
        if self._active_tasks:
            _, unfinished = await asyncio.wait(self._active_tasks, timeout=self._settings.shutdown_timeout_seconds)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _work_loop(self, channel: ChannelName) -> None:
        planned = self._planner.planned[channel]
        while True:
            planned.clear()
            await retry_until_done("deliver messages", partial(self._deliver_due, channel))
            with suppress(TimeoutError):
                await asyncio.wait_for(planned.wait(), self._settings.due_check_interval_seconds)

    async def _deliver_due(self, channel: ChannelName) -> None:
        while (claimed := await self._claim(channel)) is not None:
            task = asyncio.create_task(self._deliver(claimed))
            self._active_tasks.add(task)
            task.add_done_callback(self._active_tasks.discard)
            await asyncio.shield(task)  # a shutdown does not interrupt a running attempt

    async def _claim(self, channel: ChannelName) -> ClaimedDelivery | None:
        include_expired = self._monotonic_clock() > self._takeover_allowed_after
        try:
            return await self._delivery_store.claim(channel, self._settings.lease, include_expired=include_expired)
        except StoreUnavailable:
            self._delay_takeover()
            raise

    def _delay_takeover(self) -> None:
        self._takeover_allowed_after = self._monotonic_clock() + self._settings.takeover_delay_seconds

    async def _deliver(self, claimed: ClaimedDelivery) -> None:
        started = time.perf_counter()
        result = await self._attempt_under_lease(claimed)
        if result is None:
            return
        self._metrics.count_attempt(claimed.delivery.channel, result.outcome, time.perf_counter() - started)
        await retry_until_done("record a delivery outcome", partial(self._record_result, claimed, result))
        if result.outcome == "sent":
            wait_seconds = (self._clock() - claimed.planned_at).total_seconds()
            self._metrics.observe_wait(claimed.delivery.channel, wait_seconds)

    async def _record_result(self, claimed: ClaimedDelivery, result: AttemptResult) -> None:
        unknown_attempts = claimed.unknown_attempts + (result.outcome == "unknown")
        match result.outcome:
            case "retried":
                wait = retry_wait(claimed.attempts, self._settings.first_retry_wait, result.retry_after)
                await self._delivery_store.schedule_retry(claimed, wait, unknown_attempts)
            case "unknown" if unknown_attempts < MAX_UNKNOWN_ATTEMPTS:
                await self._delivery_store.schedule_retry(claimed, UNKNOWN_OUTCOME_WAIT, unknown_attempts)
            case "not_needed":
                # Planned again afterwards: it may be needed by now, and could not be added while it existed.
                await self._delivery_store.cancel(claimed)
                await self._planner.plan(list((await self._store.load_alerts([claimed.delivery.alert_id])).values()))
            case _:
                await self._delivery_store.complete(claimed, result.outcome)

    async def _attempt_under_lease(self, claimed: ClaimedDelivery) -> AttemptResult | None:
        """The result of one attempt; None when another worker took the lease over and attempts it now."""
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
            if not await self._delivery_store.renew(claimed, self._settings.lease):
                lease_scope.reschedule(asyncio.get_running_loop().time())

        while True:
            await asyncio.sleep(self._settings.renew_interval_seconds)
            await retry_until_done("renew a delivery lease", renew)

    async def _attempt(self, claimed: ClaimedDelivery) -> AttemptResult:
        delivery = claimed.delivery
        log_context = {"delivery_id": str(delivery.id), "alert_id": str(delivery.alert_id), "channel": delivery.channel}
        try:
            return AttemptResult(await self._send_if_needed(claimed))
        except AddressRejected as error:
            log.warning("delivery address rejected permanently by the receiver", **log_context, reason=str(error))
            return AttemptResult("rejected")
        except DeliveryUnknown as error:
            log.warning(
                "delivery outcome unknown: the response was lost after the message was sent",
                **log_context,
                reason=str(error),
                unknown_attempts=claimed.unknown_attempts + 1,
            )
            return AttemptResult("unknown")
        except Exception as error:
            reason = describe(error)
            remaining = claimed.planned_at + self._settings.give_up_after - self._clock()
            if remaining < timedelta(0):
                log.error("delivery failed: giving up", **log_context, reason=reason)
                return AttemptResult("failed")
            is_expected = isinstance(error, Transient | TimeoutError)  # a bug needs its traceback
            log.warning("delivery attempt failed: retrying", **log_context, reason=reason, exc_info=not is_expected)
            asked = error.retry_after if isinstance(error, DeliveryFailed) else timedelta(0)
            return AttemptResult("retried", min(asked, remaining))

    async def _send_if_needed(self, claimed: ClaimedDelivery) -> DeliveryOutcome:
        delivery = claimed.delivery
        alert, addresses = await self._load_current(delivery)
        if alert is None or notifiable_change(alert) != delivery.change or delivery.channel not in addresses.names():
            return "not_needed"
        async with asyncio.timeout(self._settings.send_timeout_seconds):
            await self._channels[delivery.channel].send(self._notification(claimed, alert), addresses)
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
            url=f"{self._settings.public_url.rstrip('/')}/inbox/{delivery.clinician_id}",
            end_reason=alert.episode.end_reason,
        )
