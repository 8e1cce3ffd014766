"""Getting a message to a clinician: owed by how things stand, tried until it is taken, given up never silently."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from services.notify.channels import AddressRefused, AnswerLost, Notice, Outlets
from services.notify.domain.alert import Alert
from services.notify.domain.routing import (
    MOST_UNSURE,
    WAIT_WHEN_UNSURE,
    Channels,
    Delivery,
    change_to_tell,
    deliveries,
    is_fresh,
    wait_after,
)
from services.notify.metrics import Metrics, Outcome
from services.notify.store import Claimed, Deliveries, Store
from shared.errors import StoreUnavailable, Transient
from shared.runtime.background import background, until_done

log = structlog.get_logger()

SEND_SECONDS = 240.0
"""How long one try may take: more than a mail server for all its answers."""
RENEW_EVERY = 10.0
"""Seconds between two renewals while a message is on its way: one that fails leaves time for another."""
HOLDERS_FIRST_SECONDS = 20.0
"""How long to leave others' messages alone after the database was away: their holders could not renew them either."""
LOOK_EVERY = 5.0
"""Seconds between two looks for what is due again, or was left by a process that died."""
FINISH_SECONDS = 10.0
"""How long what is on its way may take to finish when the service ends."""


class Deliver:
    """Delivers messages, a few at once.

    A change is told once per channel. Two exceptions cannot be avoided by any sender. A process that ends, or for
    longer than the lease sleeps or is alone in not reaching the database, between the receiver's acceptance and our
    note of it, leaves a message that is sent again. And a receiver whose answer is lost once it had the whole message
    may have taken it or not: it is sent again an hour later, and three times at most. Every copy goes under the same
    Message-ID or webhook-id, so that receivers can drop it.
    """

    def __init__(
        self,
        store: Store,
        delivery_store: Deliveries,
        channels: Outlets,
        metrics: Metrics,
        clock: Callable[[], datetime],
        *,
        inbox_of: Callable[[UUID], str],
        fresh_within: timedelta,
        first_wait: timedelta,
        give_up_after: timedelta,
        parallel: int,
    ) -> None:
        self._store = store
        self._owed = delivery_store
        self._outlets = channels
        self._metrics = metrics
        self._clock = clock
        self._inbox_of = inbox_of
        self._fresh_within = fresh_within
        self._first_wait = first_wait
        self._give_up_after = give_up_after
        self._parallel = parallel
        self._news = asyncio.Event()
        self._in_hand: set[asyncio.Task[None]] = set()
        self._holders_first_until = 0.0

    async def owe(self, alerts: Sequence[Alert]) -> None:
        """Have told what needs to be told of `alerts` as they stand. Safe to repeat."""
        now = self._clock()
        notifiable = [a for a in alerts if change_to_tell(a) and is_fresh(a, now, self._fresh_within)]
        if not notifiable:
            return
        addresses = await self._store.channels({a.clinician_id for a in notifiable if a.clinician_id is not None})
        planned = [delivery for alert in notifiable for delivery in deliveries(alert, addresses)]
        await self._owed.owe(planned, now)
        self._news.set()

    async def reach(self, clinician_id: UUID, addresses: Channels) -> None:
        """Reach the clinician there from now on, also with what could not be said before. Safe to repeat."""
        await self._store.keep_channels(clinician_id, addresses)
        now = self._clock()
        since = now - self._fresh_within
        await self._owed.try_again(clinician_id, since, now)
        # Only now: an alert that is written after this look finds the channels itself.
        await self.owe(await self._store.unsettled(since, clinician_id))
        self._news.set()

    async def catch_up(self) -> None:
        """Owe whatever a crash between two steps left unowed. Safe to repeat."""
        await self.owe(await self._store.unsettled(self._clock() - self._fresh_within))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Delivering what is due. At the end, what is on its way may finish."""
        self._let_holders_go_first()  # the database may have been away until just now
        planning = until_done("owe what a crash left unowed", self.catch_up)
        async with background(planning, *(self._work() for _ in range(self._parallel))):
            yield
        if self._in_hand:
            _, unfinished = await asyncio.wait(self._in_hand, timeout=FINISH_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            self._news.clear()
            await until_done("deliver messages", self._deliver_what_is_due)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), LOOK_EVERY)

    async def _deliver_what_is_due(self) -> None:
        while (claimed := await self._claim()) is not None:
            task = asyncio.create_task(self._deliver(claimed))
            self._in_hand.add(task)
            task.add_done_callback(self._in_hand.discard)
            await asyncio.shield(task)  # we may be ended meanwhile; a message on its way is not cut off

    async def _claim(self) -> Claimed | None:
        try:
            return await self._owed.claim(take_over=time.monotonic() > self._holders_first_until)
        except StoreUnavailable:
            self._let_holders_go_first()
            raise

    def _let_holders_go_first(self) -> None:
        self._holders_first_until = time.monotonic() + HOLDERS_FIRST_SECONDS

    async def _deliver(self, claimed: Claimed) -> None:
        started = time.perf_counter()
        outcome = await self._try_while_ours(claimed)
        if outcome is None:
            return
        self._metrics.tried(claimed.delivery.channel, outcome, time.perf_counter() - started)
        unknown_attempts = claimed.unsure + (outcome == "unsure")
        match outcome:
            case "retried":
                wait = wait_after(claimed.attempts, self._first_wait)
                record_outcome = partial(self._owed.put_off, claimed, wait, unknown_attempts)
            case "unsure" if unknown_attempts < MOST_UNSURE:
                record_outcome = partial(self._owed.put_off, claimed, WAIT_WHEN_UNSURE, unknown_attempts)
            case "not_needed":
                record_outcome = partial(self._drop, claimed)
            case _:
                record_outcome = partial(self._owed.settle, claimed, outcome)
        await until_done("note what became of a message", record_outcome)
        if outcome == "sent":
            wait_seconds = (self._clock() - claimed.owed_since).total_seconds()
            self._metrics.waited(claimed.delivery.channel, wait_seconds)

    async def _drop(self, claimed: Claimed) -> None:
        """Let it go, unless it has come to be needed meanwhile; until it was gone, it could not be owed anew."""
        await self._owed.drop(claimed)
        await self.owe(list((await self._store.alerts([claimed.delivery.alert_id])).values()))

    async def _try_while_ours(self, claimed: Claimed) -> Outcome | None:
        """What became of one try; none when the message came to be another's, who tries now."""
        try:
            async with asyncio.timeout(None) as lease_scope, background(self._hold(claimed, lease_scope)):
                return await self._try(claimed)
        except TimeoutError:
            log.warning("somebody else took over a message on its way", delivery_id=str(claimed.delivery.id))
            return None

    async def _hold(self, claimed: Claimed, lease_scope: asyncio.Timeout) -> None:
        """Keep holding the message; when it is no longer ours, end what goes on under `ours`."""

        async def renew() -> None:
            if not await self._owed.renew(claimed):
                lease_scope.reschedule(asyncio.get_running_loop().time())

        while True:
            await asyncio.sleep(RENEW_EVERY)
            await until_done("hold a message on its way", renew)

    async def _try(self, claimed: Claimed) -> Outcome:
        delivery = claimed.delivery
        log_context = {"delivery_id": str(delivery.id), "alert_id": str(delivery.alert_id), "channel": delivery.channel}
        try:
            alert, addresses = await self._as_things_stand(delivery)
            if alert is None or change_to_tell(alert) != delivery.change or delivery.channel not in addresses.names():
                return "not_needed"
            async with asyncio.timeout(SEND_SECONDS):
                await self._outlets[delivery.channel].send(self._notice(claimed, alert), addresses)
        except AddressRefused as error:
            log.warning("an address is refused for good", **log_context, reason=str(error))
            return "refused"
        except AnswerLost as error:
            log.warning(
                "nobody knows whether a message arrived", **log_context, reason=str(error), times=claimed.unsure + 1
            )
            return "unsure"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, Transient) else type(error).__name__
            if self._clock() - claimed.owed_since > self._give_up_after:
                log.error("a message could not be delivered and is given up", **log_context, reason=reason)
                return "failed"
            is_expected = isinstance(error, Transient | TimeoutError)  # a bug needs its place
            log.warning("a message was not taken, trying again", **log_context, reason=reason, exc_info=not is_expected)
            return "retried"
        return "sent"

    async def _as_things_stand(self, delivery: Delivery) -> tuple[Alert | None, Channels]:
        alerts = await self._store.alerts([delivery.alert_id])
        addresses = await self._store.channels([delivery.clinician_id])
        return alerts.get(delivery.alert_id), addresses.get(delivery.clinician_id, Channels())

    def _notice(self, claimed: Claimed, alert: Alert) -> Notice:
        delivery = claimed.delivery
        return Notice(
            delivery_id=delivery.id,
            at=claimed.at,
            alert_id=delivery.alert_id,
            change=delivery.change,
            severity=alert.severity,
            url=self._inbox_of(delivery.clinician_id),
        )
