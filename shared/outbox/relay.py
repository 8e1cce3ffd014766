"""The outbox: HTTP writes and timers have no Kafka offset to hold back, so they store their events in the document.

A document and its outbox entries (stored under `owed`) are written in one atomic write. The entries are published at
once, as the bytes that were stored, and then removed. The relay publishes the entries that a crash left pending, at the
start and every few seconds. Publishing is at-least-once: an event may be published twice, under the same id.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from pymongo import UpdateOne

from shared.errors import DecodeError
from shared.events import EVENT_TYPES, Event, by_type
from shared.events.cloudevents import decode_routing, encode
from shared.kafka.producer import Message, encoded_event_message
from shared.mongo.client import Collection, Document, server_time, translate_errors
from shared.outbox.metrics import OutboxMetrics, Trigger
from shared.runtime.background import repeat_every, retry_until_done, run_in_background

PUBLISH_BATCH_DOCUMENTS = 500
"""The maximum number of documents whose entries are published together."""
RELAY_INTERVAL_SECONDS = 5.0
"""The interval at which the relay looks for entries that a crash left pending."""
RELAY_AFTER = timedelta(seconds=10)
"""The age of a pending entry after which no running process is still publishing it."""

Send = Callable[[Sequence[Message]], Awaitable[None]]
"""Sends messages, in order within a key, and returns when all are acknowledged."""

_EVENT_TYPES = by_type(EVENT_TYPES)


@dataclass(frozen=True)
class PendingDocument:
    """A document with the outbox entries that must be published and then removed."""

    collection: str
    id: UUID
    entries: Sequence[Document]

    def to_removal(self) -> UpdateOne:
        published_ids = [entry["id"] for entry in self.entries]
        return UpdateOne({"_id": self.id}, {"$pull": {"owed": {"id": {"$in": published_ids}}}})


def outbox_entries(events: Sequence[Event], now: datetime) -> list[Document]:
    """The entries that a document stores under `owed` for `events`; add them in the write that causes the events."""
    return [{"id": event.id, "event": encode(event).decode(), "since": now} for event in events]


def entry_message(entry: Document) -> Message:
    """The message of an outbox entry: the bytes that were stored, for the topic and the key that they name.

    Entries have had the same fields in every version, so an upgrade also publishes what older processes left pending.
    Raises DecodeError if a newer version stored an event of a type that is unknown here; the entry stays pending.
    """
    value: bytes = entry["event"].encode()
    event_type, key = decode_routing(value)
    if event_type not in _EVENT_TYPES:
        raise DecodeError("no_event", f"type: {event_type} is not known to this version")
    return encoded_event_message(_EVENT_TYPES[event_type].TOPIC, key, value)


class Outbox:
    """Publishes the outbox entries of the documents of some collections, in the order in which each was enqueued."""

    def __init__(
        self, send: Send, collections: Sequence[Collection], metrics: OutboxMetrics, clock: Callable[[], datetime]
    ) -> None:
        self._send = send
        self._collections = {collection.name: collection for collection in collections}
        self._metrics = metrics
        self._clock = clock
        self._queue: asyncio.Queue[PendingDocument] = asyncio.Queue()

    def enqueue(self, collection: str, document_id: UUID, entries: Sequence[Document]) -> None:
        """Publish the `entries` that a document was just written with."""
        self._queue.put_nowait(PendingDocument(collection, document_id, entries))

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
        for collection in self._collections.values():
            while batch := await self._load_overdue(collection):
                await self._publish(batch, "relay")

    async def _load_overdue(self, collection: Collection) -> list[PendingDocument]:
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
        return [PendingDocument(collection.name, document["_id"], document["owed"]) for document in documents]

    async def _count_pending(self) -> None:
        """Runs apart from the relay, which pauses as long as this process has entries of its own to publish."""
        now, pending_documents, oldest = self._clock(), 0, self._clock()
        for collection in self._collections.values():
            oldest_first = collection.find({"owed.since": {"$lte": now}}, {"owed.since": 1}).sort("owed.since", 1)
            with translate_errors():
                pending_documents += await collection.count_documents({"owed.since": {"$lte": now}})
                first = await oldest_first.limit(1).to_list(1)
            oldest = min([oldest, *(entry["since"] for document in first for entry in document["owed"])])
        self._metrics.set_pending(pending_documents, now - oldest)

    async def _publish(self, batch: Sequence[PendingDocument], trigger: Trigger) -> None:
        entries = [entry for document in batch for entry in document.entries]
        await self._send([entry_message(entry) for entry in entries])
        self._metrics.observe_waits((entry["since"] for entry in entries), self._clock())
        for name, collection in self._collections.items():
            if removals := [document.to_removal() for document in batch if document.collection == name]:
                with translate_errors():
                    await collection.bulk_write(removals, ordered=False)
        self._metrics.count_published(trigger, len(entries))
