"""Notifies open inboxes at once when an alert changes, whichever process wrote it.

Each process has one change stream, however many inboxes are open. A change only wakes the listeners of its clinician,
and they load the inbox again, together. So a slow listener delays nobody, and several changes at once count as one.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.notify.metrics import Metrics, StreamLimit
from services.notify.store.mongo import ALERTS
from shared.http.problems import Problem
from shared.mongo.client import Mongo
from shared.runtime.background import repeat_every, run_in_background
from shared.runtime.clock import now

REOPEN_DELAY_SECONDS = 0.1
"""Before a change stream that ended is opened again."""

PING_SECONDS = 15.0
"""Between two pings to an open inbox; the page warns when two are missing."""


RETRY_AFTER_SECONDS = 30
"""For a stream that was refused: by then, those of closed tabs have ended."""


@dataclass(frozen=True)
class StreamLimits:
    """How many streams may be open in one process."""

    per_inbox: int
    per_process: int


@dataclass(eq=False)
class Listener:
    """One open stream of an inbox."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever the inbox may have changed."""
    alert_ids: frozenset[UUID] | None = None
    """All alerts of the inbox, as they were sent last; None while it is not known whether these are all."""

    def may_show(self, alert_id: UUID) -> bool:
        return self.alert_ids is None or alert_id in self.alert_ids


class InboxUpdates:
    """Wakes the listeners of an inbox when it may have changed."""

    def __init__(
        self, mongo: Mongo, metrics: Metrics, limits: StreamLimits, ping_seconds: float = PING_SECONDS
    ) -> None:
        self._mongo = mongo
        self._metrics = metrics
        self._limits = limits
        self._ping_seconds = ping_seconds
        self._is_following = False
        self._listeners: defaultdict[UUID, set[Listener]] = defaultdict(set)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Follow the changes until the block ends, also after a database outage."""
        return run_in_background(repeat_every(REOPEN_DELAY_SECONDS, "follow alert changes", self._follow_changes))

    @contextmanager
    def listen(self, clinician_id: UUID) -> Iterator[Listener]:
        """A listener that is woken until the block ends. Raises Problem (503) beyond the limits."""
        self._refuse_beyond("inbox", len(self._listeners.get(clinician_id, ())), self._limits.per_inbox)
        self._refuse_beyond("process", sum(map(len, self._listeners.values())), self._limits.per_process)
        listener = Listener()
        self._listeners[clinician_id].add(listener)
        self._metrics.open_streams.inc()
        try:
            yield listener
        finally:
            self._metrics.open_streams.dec()
            self._listeners[clinician_id].discard(listener)
            if not self._listeners[clinician_id]:
                del self._listeners[clinician_id]

    async def pings_until(self, changed: asyncio.Event) -> AsyncIterator[datetime]:
        """The time, every `ping_seconds` until `changed` is set; nothing while changes cannot be followed."""
        while not changed.is_set():
            try:
                async with asyncio.timeout(self._ping_seconds):
                    await changed.wait()
            except TimeoutError:
                if self._is_following:
                    yield now()

    def _refuse_beyond(self, limit: StreamLimit, count: int, maximum: int) -> None:
        if count < maximum:
            return
        self._metrics.count_refused_stream(limit)
        scope = {"inbox": "open streams of this inbox", "process": "open streams"}[limit]
        raise Problem(
            503,
            "too-many-streams",
            "Too many open streams",
            f"There are {count} {scope} already. Close some, or try again later; requests without a stream work.",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )

    async def _follow_changes(self) -> None:
        pipeline = [{"$project": {"operationType": 1, "documentKey": 1, "fullDocument.clinician_id": 1}}]
        async with self._mongo.watch(ALERTS, pipeline) as changes:
            for clinician_id in list(self._listeners):
                self._wake(clinician_id)  # something may have changed while no stream was open
            self._is_following = True
            try:
                async for change in changes:
                    self._wake_listeners_of(change)
            finally:
                self._is_following = False

    def _wake_listeners_of(self, change: dict[str, Any]) -> None:
        """Wake the listeners of the alert's clinician. A removed alert no longer says whose it was."""
        clinician_id = (change.get("fullDocument") or {}).get("clinician_id")
        if clinician_id is not None:
            self._wake(clinician_id)
            return
        alert_id = change.get("documentKey", {}).get("_id")
        for listeners in self._listeners.values():
            for listener in listeners:
                if alert_id is None or listener.may_show(alert_id):
                    listener.changed.set()

    def _wake(self, clinician_id: UUID) -> None:
        for listener in self._listeners.get(clinician_id, ()):
            listener.changed.set()
