"""Open inboxes hear at once when an alert changes, whichever process wrote it.

One change stream for each process, however many read: what changed only wakes the readers whose it is, and each
reads its own inbox anew. So a slow reader holds nothing up, and many changes at once are one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from uuid import UUID

from services.notify.metrics import Metrics
from services.notify.store import ALERTS
from shared.mongo.client import Mongo
from shared.runtime.background import repeat_every, run_in_background

REOPEN_DELAY_SECONDS = 0.1
"""Seconds; a change stream that ends is opened again."""


class InboxUpdates:
    """Wakes the readers of an inbox when it may have changed."""

    def __init__(self, mongo: Mongo, metrics: Metrics) -> None:
        self._mongo = mongo
        self._metrics = metrics
        self._listeners: defaultdict[UUID, set[asyncio.Event]] = defaultdict(set)

    def run(self) -> AbstractAsyncContextManager[None]:
        """Following the changes, also after the database was away."""
        return run_in_background(repeat_every(REOPEN_DELAY_SECONDS, "follow the alerts", self._follow_changes))

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

    async def _follow_changes(self) -> None:
        pipeline = [{"$project": {"operationType": 1, "fullDocument.clinician_id": 1}}]
        async with self._mongo.watch(ALERTS, pipeline) as changes:
            self._wake(None)  # something may have changed while nobody followed
            async for change in changes:
                self._wake((change.get("fullDocument") or {}).get("clinician_id"))

    def _wake(self, clinician_id: UUID | None) -> None:
        """None: whose it was cannot be said, for instance of an alert that was erased."""
        for listener_clinician_id, listeners in self._listeners.items():
            if clinician_id in (None, listener_clinician_id):
                for changed in listeners:
                    changed.set()
