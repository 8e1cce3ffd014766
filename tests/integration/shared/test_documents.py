"""HTTP writes are decided once, written atomically with their outbox entries, and published despite crashes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict

from shared.errors import Rejected
from shared.events import Event
from shared.events.topics import SESSIONS
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo
from shared.outbox.documents import Decide, Documents, change_in_transaction
from shared.outbox.relay import RELAY_AFTER, Outbox, outbox_entries
from shared.runtime.clock import now
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events
from tests.support.serving import wait_until


class Count(BaseModel):
    """How often something was counted, and by whom."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    by: tuple[int, ...] = ()


@dataclass
class Service:
    """The writing side of a service: documents, and the outbox that publishes their events."""

    mongo: Mongo
    kafka: Kafka
    outbox: Outbox
    counts: Documents[Count]


@pytest.fixture(params=["motor", "pymongo"])
async def service(request: pytest.FixtureRequest, kafka_servers: str, mongodb_uri: str) -> AsyncIterator[Service]:
    driver: Literal["motor", "pymongo"] = request.param
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", driver)
    registry = CollectorRegistry()
    kafka = Kafka(kafka_servers, "service", KafkaMetrics(registry), now)
    outbox = Outbox(
        kafka, [mongo["counts"]], registry, lambda: now() - timedelta(hours=1)
    )  # a wrong clock must not matter
    yield Service(mongo, kafka, outbox, Documents(mongo["counts"], Count, outbox, now))
    await mongo.close()


def add_number(number: int, *events: Event) -> Decide[Count]:
    """Adds `number` to the count; if it was added before, nothing changes."""

    def decide(count: Count | None) -> tuple[Count, Sequence[Event]]:
        before = count or Count()
        if number in before.by:
            return before, ()
        return Count(by=(*before.by, number)), events

    return decide


async def test_no_concurrent_change_of_a_document_is_lost(service: Service) -> None:
    document_id = uuid4()

    await asyncio.gather(*(service.counts.change(document_id, add_number(n)) for n in range(12)))

    count = await service.counts.get(document_id)
    assert count is not None
    assert sorted(count.by) == list(range(12))


async def test_a_repeated_change_writes_nothing_and_adds_no_outbox_entry(service: Service) -> None:
    document_id, event = uuid4(), RelationshipBuilder().completed(0)

    await service.counts.change(document_id, add_number(1, event))
    before = await service.counts.collection.find_one({"_id": document_id})
    await service.counts.change(document_id, add_number(1, event))

    assert await service.counts.collection.find_one({"_id": document_id}) == before
    assert before is not None
    assert [entry["id"] for entry in before["owed"]] == [event.id]


async def test_a_rejected_change_writes_nothing(service: Service) -> None:
    document_id = uuid4()

    def reject(_: Count | None) -> tuple[Count, Sequence[Event]]:
        raise Rejected("no", "not today")

    with pytest.raises(Rejected, match="not today"):
        await service.counts.change(document_id, reject)
    assert await service.counts.get(document_id) is None


async def test_several_documents_change_together_or_not_at_all(service: Service) -> None:
    first, second = uuid4(), uuid4()

    def reject(_: Count | None) -> tuple[Count, Sequence[Event]]:
        raise Rejected("no", "not today")

    with pytest.raises(Rejected):
        await change_in_transaction(
            service.mongo, [(service.counts, first, add_number(1)), (service.counts, second, reject)]
        )
    assert await service.counts.get(first) is None

    await change_in_transaction(
        service.mongo, [(service.counts, first, add_number(1)), (service.counts, second, add_number(2))]
    )
    assert await service.counts.get(first) == Count(by=(1,))
    assert await service.counts.get(second) == Count(by=(2,))


async def test_outbox_entries_are_published_at_once_and_removed(service: Service, kafka_servers: str) -> None:
    relationship = RelationshipBuilder()
    document_id, events = uuid4(), [relationship.completed(0), relationship.completed(1)]

    async with service.kafka.run(), service.outbox.run():
        await service.counts.change(document_id, add_number(1, *events))
        # sooner than the relay would publish it
        await wait_until(
            lambda: _has_nothing_pending(service, document_id), timeout_seconds=0.9 * RELAY_AFTER.total_seconds()
        )

    assert await read_events(kafka_servers, SESSIONS, relationship.relationship_id) == events


@pytest.mark.parametrize("clock_error", [timedelta(0), timedelta(hours=1), timedelta(hours=-1)])
async def test_entries_that_a_crash_left_pending_are_relayed(
    service: Service, kafka_servers: str, clock_error: timedelta
) -> None:
    """The process died between the write and the publishing, and its clock may have been wrong; the next one starts."""
    relationship = RelationshipBuilder()
    document_id, event = uuid4(), relationship.completed(0)
    enqueued_at = now() - 2 * RELAY_AFTER + clock_error
    await service.counts.collection.insert_one(
        {"_id": document_id, "v": 1, "by": [1], "owed": outbox_entries([event], enqueued_at)}
    )

    async with service.kafka.run(), service.outbox.run():
        await wait_until(lambda: _has_nothing_pending(service, document_id))

    assert await read_events(kafka_servers, SESSIONS, relationship.relationship_id) == [event]
    assert await service.counts.get(document_id) == Count(by=(1,))


async def test_a_write_is_durable_while_kafka_is_unavailable_and_published_afterwards(
    service: Service, kafka_servers: str
) -> None:
    relationship = RelationshipBuilder()
    document_id, event = uuid4(), relationship.completed(0)

    async with service.outbox.run():
        await service.counts.change(document_id, add_number(1, event))
        assert not await _has_nothing_pending(service, document_id)
        async with service.kafka.run():
            await wait_until(lambda: _has_nothing_pending(service, document_id))

    assert await read_events(kafka_servers, SESSIONS, relationship.relationship_id) == [event]


async def _has_nothing_pending(service: Service, document_id: UUID) -> bool:
    document = await service.counts.collection.find_one({"_id": document_id})
    return document is not None and not document["owed"]
