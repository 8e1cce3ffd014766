"""Notifies open inboxes at once when an alert changes, whichever process wrote it.

Each process has one change stream, however many inboxes are open. A change only wakes the listeners of its clinician,
and each of them loads its inbox again. So a slow listener delays nobody, and several changes at once count as one.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import datetime
from uuid import UUID

from services.notify.metrics import Metrics
from services.notify.store.mongo import ALERTS
from shared.mongo.client import Mongo
from shared.runtime.background import repeat_every, run_in_background
from shared.runtime.clock import now

REOPEN_DELAY_SECONDS = 0.1
"""Before a change stream that ended is opened again."""

PING_SECONDS = 15.0
"""Between two pings to an open inbox; the page warns when two are missing."""


class InboxUpdates:
    """Wakes the listeners of an inbox when it may have changed."""

    def __init__(self, mongo: Mongo, metrics: Metrics, ping_seconds: float = PING_SECONDS) -> None:
        self._mongo = mongo
        self._metrics = metrics
        self._ping_seconds = ping_seconds
        self._is_following = False
        self._listeners: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Follow the changes until the block ends, also after a database outage."""
        return run_in_background(repeat_every(REOPEN_DELAY_SECONDS, "follow alert changes", self._follow_changes))

    @contextmanager
    def listen(self, clinician_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever the clinician's inbox may have changed."""
        changed = asyncio.Event()
        self._listeners[clinician_id].add(changed)
        self._metrics.open_streams.inc()
        try:
            yield changed
        finally:
            self._metrics.open_streams.dec()
            self._listeners[clinician_id].discard(changed)
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

    async def _follow_changes(self) -> None:
        pipeline = [{"$project": {"operationType": 1, "fullDocument.clinician_id": 1}}]
        async with self._mongo.watch(ALERTS, pipeline) as changes:
            self._wake(None)  # something may have changed while no stream was open
            self._is_following = True
            try:
                async for change in changes:
                    self._wake((change.get("fullDocument") or {}).get("clinician_id"))
            finally:
                self._is_following = False

    def _wake(self, clinician_id: UUID | None) -> None:
        """Wake the listeners of the clinician, or all of them if the clinician is unknown, as after an erased alert."""
        for listener_clinician_id, listeners in self._listeners.items():
            if clinician_id in (None, listener_clinician_id):
                for changed in listeners:
                    changed.set()
