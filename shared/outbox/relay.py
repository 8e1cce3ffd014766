"""The embedded outbox: a write that has no Kafka offset to hold back keeps the events it owes in its own document.

A document is written together with its `owed` events, in one atomic write. They are published at once and then
taken off the document; what a crash left owed is found at the start and every few seconds. An event may so be
published twice, under the same id, and never not at all.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pymongo import UpdateOne

from shared.events import KINDS, Event, by_name
from shared.events.cloudevents import decode, encode
from shared.kafka import Kafka
from shared.mongo.client import Collection, Document, time_of, unavailable
from shared.runtime.background import background, every, until_done

AT_ONCE = 500
"""The most documents whose events are published together."""
LOOK_EVERY = 5.0
"""Seconds between two looks for what a crash left owed."""
LEFT_OWED_AFTER = timedelta(seconds=10)
"""What is owed for longer is no longer in somebody's hands."""

Debtor = tuple[str, Any, Sequence[Document]]
"""A document that owes events: its collection, its `_id`, and what it owes."""

_KINDS = by_name(KINDS)


def owed(events: Sequence[Event], now: datetime) -> list[Document]:
    """What a document holds under `owed` for `events`; add it in the same write as what they follow from."""
    return [{"id": event.id, "event": encode(event).decode(), "since": now} for event in events]


class Outbox:
    """Publishes what the documents of some collections owe, each in the order in which it came to be owed."""

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
        self._written: asyncio.Queue[Debtor] = asyncio.Queue()
        self._told = Counter(
            "attune_owed_events_published",
            "Events published that an HTTP write or a timer owed; `found` counts those a crash left behind.",
            ["how"],
            registry=registry,
        )
        for trigger in ("at once", "found"):
            self._told.labels(trigger)
        self._waited = Histogram(
            "attune_owed_wait_seconds",
            "Time from a write to the moment its event was acknowledged by Kafka.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
            registry=registry,
        )
        self._owing = Gauge(
            "attune_owed_documents", "Documents whose events are durable and not published yet.", registry=registry
        )
        self._oldest = Gauge(
            "attune_owed_oldest_seconds",
            "How long the longest of them has waited; 0 when none does.",
            registry=registry,
        )

    def wrote(self, collection: str, document_id: Any, entries: Sequence[Document]) -> None:
        """Say that a document has just been written with `debts`; they are published right away."""
        self._written.put_nowait((collection, document_id, entries))

    def running(self) -> AbstractAsyncContextManager[None]:
        """Publishing what is written, and finding what a crash left owed."""
        counting = every(LOOK_EVERY, "count what is owed", self._count)
        return background(self._publish_written(), self._publish_left_owed(), counting)

    async def _publish_written(self) -> None:
        while True:
            batch = [await self._written.get()]
            while not self._written.empty() and len(batch) < AT_ONCE:
                batch.append(self._written.get_nowait())
            await until_done("publish owed events", partial(self._publish, batch, "at once"))

    async def _publish_left_owed(self) -> None:
        await until_done("make owed events findable", self._make_findable)
        await every(LOOK_EVERY, "publish events left owed", self._publish_found)

    async def _make_findable(self) -> None:
        for collection in self._collections.values():
            with unavailable():
                await collection.create_index("owed.since", name="owed", sparse=True)

    async def _publish_found(self) -> None:
        if not self._written.empty():
            return  # what waits in our own hands is not left by anybody
        for name, collection in self._collections.items():
            while batch := await self._left_owed(name, collection):
                await self._publish(batch, "found")

    async def _left_owed(self, name: str, collection: Collection) -> list[Debtor]:
        now = await time_of(collection.database)
        # What is owed since a time to come was written by a clock that is wrong: it may be published at once.
        overdue, in_the_future = {"$lt": now - LEFT_OWED_AFTER}, {"$gt": now + LEFT_OWED_AFTER}
        selection = {"$or": [{"owed.since": overdue}, {"owed.since": in_the_future}]}
        with unavailable():
            documents = (
                await collection.find(selection, {"owed": 1}).sort("owed.since", 1).limit(AT_ONCE).to_list(AT_ONCE)
            )
        return [(name, document["_id"], document["owed"]) for document in documents]

    async def _count(self) -> None:
        """Also when Kafka is away and nothing is looked for, because all of it is still in our hands."""
        now, pending_documents, oldest = self._clock(), 0, self._clock()
        for collection in self._collections.values():
            oldest_first = collection.find({"owed.since": {"$lte": now}}, {"owed.since": 1}).sort("owed.since", 1)
            with unavailable():
                pending_documents += await collection.count_documents({"owed.since": {"$lte": now}})
                first = await oldest_first.limit(1).to_list(1)
            oldest = min([oldest, *(entry["since"] for document in first for entry in document["owed"])])
        self._owing.set(pending_documents)
        self._oldest.set((now - oldest).total_seconds())

    async def _publish(self, batch: list[Debtor], how: str) -> None:
        events = [decode(entry["event"].encode(), _KINDS) for _, _, entries in batch for entry in entries]
        await self._kafka.tell([event for event in events if event is not None])
        now = self._clock()
        for _, _, entries in batch:
            for entry in entries:
                self._waited.observe(max(0.0, (now - entry["since"]).total_seconds()))
        for name, collection in self._collections.items():
            removals = [
                UpdateOne(
                    {"_id": document_id}, {"$pull": {"owed": {"id": {"$in": [entry["id"] for entry in entries]}}}}
                )
                for collection_name, document_id, entries in batch
                if collection_name == name
            ]
            if removals:
                with unavailable():
                    await collection.bulk_write(removals, ordered=False)
        self._told.labels(how).inc(len(events))
