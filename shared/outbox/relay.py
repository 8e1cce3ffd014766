"""The outbox: HTTP writes and timers have no Kafka offset to hold back, so they store their events in the document.

A document and its outbox entries (stored under `owed`) are written in one atomic write. The events are published at
once, and then the entries are removed. The relay publishes the entries that a crash left pending, at the start and
every few seconds. Publishing is at-least-once: an event may be published twice, under the same id.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pymongo import UpdateOne

from shared.events import EVENT_TYPES, Event, by_type
from shared.events.cloudevents import decode, encode
from shared.kafka import Kafka
from shared.mongo.client import Collection, Document, server_time, translate_errors
from shared.runtime.background import repeat_every, retry_until_done, run_in_background

PUBLISH_BATCH_DOCUMENTS = 500
"""The maximum number of documents whose events are published together."""
RELAY_INTERVAL_SECONDS = 5.0
"""The interval at which the relay looks for entries that a crash left pending."""
RELAY_AFTER = timedelta(seconds=10)
"""The age of a pending entry after which no running process is still publishing it."""

PendingEntries = tuple[str, Any, Sequence[Document]]
"""A document with pending entries: its collection, its `_id`, and the entries."""

_EVENT_TYPES = by_type(EVENT_TYPES)


def outbox_entries(events: Sequence[Event], now: datetime) -> list[Document]:
    """The entries that a document stores under `owed` for `events`; add them in the write that causes the events."""
    return [{"id": event.id, "event": encode(event).decode(), "since": now} for event in events]


class Outbox:
    """Publishes the outbox entries of the documents of some collections, in the order in which each was enqueued."""

    def __init__(
        self,
        kafka: Kafka,
        collections: Sequence[Collection],
        registry: CollectorRegistry,
        clock: Callable[[], datetime],
    ) -> None:
        self._kafka = kafka
        self._clock = clock
        self._collections = {collection.name: collection for collection in collections}
        self._queue: asyncio.Queue[PendingEntries] = asyncio.Queue()
        self._published = Counter(
            "attune_outbox_events_published",
            "Events published from the outbox of HTTP writes and timers; "
            "`relay` counts those that a crash left pending.",
            ["trigger"],
            registry=registry,
        )
        for trigger in ("write", "relay"):
            self._published.labels(trigger)
        self._wait_seconds = Histogram(
            "attune_outbox_wait_seconds",
            "Time from a write until Kafka acknowledged its event.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
            registry=registry,
        )
        self._pending_documents = Gauge(
            "attune_outbox_pending_documents",
            "Documents with outbox entries that are not published yet.",
            registry=registry,
        )
        self._oldest_pending_seconds = Gauge(
            "attune_outbox_oldest_pending_seconds",
            "Age of the oldest pending outbox entry; 0 when there is none.",
            registry=registry,
        )

    def enqueue(self, collection: str, document_id: Any, entries: Sequence[Document]) -> None:
        """Publish the `entries` that a document was just written with."""
        self._queue.put_nowait((collection, document_id, entries))

    def run(self) -> AbstractAsyncContextManager[None]:
        """Publish enqueued entries, and those that a crash left pending, while the context is open."""
        counting = repeat_every(RELAY_INTERVAL_SECONDS, "count pending outbox entries", self._count_pending)
        return run_in_background(self._publish_queued(), self._relay(), counting)

    async def _publish_queued(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < PUBLISH_BATCH_DOCUMENTS:
                batch.append(self._queue.get_nowait())
            await retry_until_done("publish outbox entries", partial(self._publish, batch, "write"))

    async def _relay(self) -> None:
        await retry_until_done("create outbox indexes", self._create_indexes)
        await repeat_every(RELAY_INTERVAL_SECONDS, "relay pending outbox entries", self._relay_pending)

    async def _create_indexes(self) -> None:
        for collection in self._collections.values():
            with translate_errors():
                await collection.create_index("owed.since", name="owed", sparse=True)

    async def _relay_pending(self) -> None:
        if not self._queue.empty():
            return  # this process is still publishing its own entries
        for name, collection in self._collections.items():
            while batch := await self._load_overdue(name, collection):
                await self._publish(batch, "relay")

    async def _load_overdue(self, name: str, collection: Collection) -> list[PendingEntries]:
        now = await server_time(collection.database)
        # An entry from the future was written with a wrong clock; it may be published at once.
        overdue, in_the_future = {"$lt": now - RELAY_AFTER}, {"$gt": now + RELAY_AFTER}
        selection = {"$or": [{"owed.since": overdue}, {"owed.since": in_the_future}]}
        with translate_errors():
            documents = (
                await collection.find(selection, {"owed": 1})
                .sort("owed.since", 1)
                .limit(PUBLISH_BATCH_DOCUMENTS)
                .to_list(PUBLISH_BATCH_DOCUMENTS)
            )
        return [(name, document["_id"], document["owed"]) for document in documents]

    async def _count_pending(self) -> None:
        """Runs apart from the relay, which pauses as long as this process has entries of its own to publish."""
        now, pending_documents, oldest = self._clock(), 0, self._clock()
        for collection in self._collections.values():
            oldest_first = collection.find({"owed.since": {"$lte": now}}, {"owed.since": 1}).sort("owed.since", 1)
            with translate_errors():
                pending_documents += await collection.count_documents({"owed.since": {"$lte": now}})
                first = await oldest_first.limit(1).to_list(1)
            oldest = min([oldest, *(entry["since"] for document in first for entry in document["owed"])])
        self._pending_documents.set(pending_documents)
        self._oldest_pending_seconds.set((now - oldest).total_seconds())

    async def _publish(self, batch: list[PendingEntries], trigger: str) -> None:
        events = [decode(entry["event"].encode(), _EVENT_TYPES) for _, _, entries in batch for entry in entries]
        await self._kafka.publish([event for event in events if event is not None])
        now = self._clock()
        for _, _, entries in batch:
            for entry in entries:
                self._wait_seconds.observe(max(0.0, (now - entry["since"]).total_seconds()))
        for name, collection in self._collections.items():
            removals = [
                UpdateOne(
                    {"_id": document_id}, {"$pull": {"owed": {"id": {"$in": [entry["id"] for entry in entries]}}}}
                )
                for collection_name, document_id, entries in batch
                if collection_name == name
            ]
            if removals:
                with translate_errors():
                    await collection.bulk_write(removals, ordered=False)
        self._published.labels(trigger).inc(len(events))
