"""HTTP writes are decided once, written atomically with their outbox entries, and published despite crashes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Literal
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict

from shared.errors import Rejected, StoreUnavailable
from shared.events import Event
from shared.events.topics import ALERTS, SESSIONS, Topic
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Document, Mongo, MongoMetrics
from shared.outbox import documents
from shared.outbox.documents import Change, Decide, Documents, Transaction, change_in_transaction
from shared.outbox.metrics import OutboxMetrics
from shared.outbox.relay import RELAY_AFTER, Outbox, outbox_entries
from shared.runtime.clock import now
from shared.runtime.settings import KafkaOptions
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events, read_records
from tests.support.outbox import create_old_entry
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
    registry: CollectorRegistry

    def read_count(self) -> float:
        """How many times documents were read."""
        return self.registry.get_sample_value("attune_mongodb_command_seconds_count", {"command": "find"}) or 0

    async def pending_entries(self, document_id: UUID) -> list[Document]:
        document = await self.counts.collection.find_one({"_id": document_id})
        assert document is not None
        entries: list[Document] = document["owed"]
        return entries


@pytest.fixture(params=["motor", "pymongo"])
async def service(request: pytest.FixtureRequest, kafka_servers: str, mongodb_uri: str) -> AsyncIterator[Service]:
    driver: Literal["motor", "pymongo"] = request.param
    registry = CollectorRegistry()
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", driver, MongoMetrics(registry))
    kafka = Kafka(KafkaOptions(kafka_servers), "service", KafkaMetrics(registry), now)
    outbox = Outbox(
        kafka.send, [mongo["counts"]], OutboxMetrics(registry), lambda: now() - timedelta(hours=1)
    )  # a wrong clock must not matter
    yield Service(mongo, kafka, outbox, Documents(mongo["counts"], Count, outbox, now), registry)
    await mongo.close()


def add_number(number: int, *events: Event) -> Decide[Count]:
    """Adds `number` to the count; if it was added before, nothing changes."""

    def decide(count: Count | None) -> tuple[Count, Sequence[Event]]:
        before = count or Count()
        if number in before.by:
            return before, ()
        return Count(by=(*before.by, number)), events

    return decide


async def test_a_change_says_what_was_before_and_after_and_which_events_it_caused(service: Service) -> None:
    document_id, event = uuid4(), RelationshipBuilder().completed(0)

    first = await service.counts.change(document_id, add_number(1))
    second = await service.counts.change(document_id, add_number(2, event))
    repeated = await service.counts.change(document_id, add_number(2, event))

    assert first == Change(None, Count(by=(1,)), ())
    assert second == Change(Count(by=(1,)), Count(by=(1, 2)), (event,))
    assert repeated == Change(Count(by=(1, 2)), Count(by=(1, 2)), ())


async def test_a_document_that_was_loaded_already_is_not_read_again(service: Service) -> None:
    document_id = uuid4()
    await service.counts.change(document_id, add_number(1))
    loaded = await service.counts.find({"_id": document_id})
    reads_before = service.read_count()

    change = await service.counts.change(document_id, add_number(2), loaded)

    assert change.after == Count(by=(1, 2))
    assert service.read_count() == reads_before


async def test_a_change_of_a_document_that_was_changed_since_it_was_loaded_is_decided_again(service: Service) -> None:
    document_id = uuid4()
    await service.counts.change(document_id, add_number(1))
    loaded = await service.counts.find({"_id": document_id})
    await service.counts.change(document_id, add_number(2))

    change = await service.counts.change(document_id, add_number(3), loaded)

    assert change == Change(Count(by=(1, 2)), Count(by=(1, 2, 3)), ())


async def test_a_full_outbox_refuses_further_events_until_kafka_acknowledges_some(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_PENDING_EVENTS", 2)
    document_id, relationship = uuid4(), RelationshipBuilder()
    first, second, third = (relationship.completed(week) for week in range(3))
    await service.counts.change(document_id, add_number(1, first, second))

    with pytest.raises(StoreUnavailable):
        await service.counts.change(document_id, add_number(2, third))

    assert await service.counts.get(document_id) == Count(by=(1,))
    assert (await service.counts.change(document_id, add_number(1, first, second))).after == Count(by=(1,))
    async with service.kafka.run(), service.outbox.run():
        await wait_until(partial(_has_nothing_pending, service, document_id))
        await service.counts.change(document_id, add_number(2, third))


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

    async def change_both(decide_second: Decide[Count], transaction: Transaction) -> list[Change[Count]]:
        return [
            await transaction.change(service.counts, first, add_number(1)),
            await transaction.change(service.counts, second, decide_second),
        ]

    with pytest.raises(Rejected):
        await change_in_transaction(service.mongo, partial(change_both, reject))
    assert await service.counts.get(first) is None

    changes = await change_in_transaction(service.mongo, partial(change_both, add_number(2)))
    assert changes == [Change(None, Count(by=(1,)), ()), Change(None, Count(by=(2,)), ())]
    assert await service.counts.get(first) == Count(by=(1,))
    assert await service.counts.get(second) == Count(by=(2,))


async def test_the_events_of_a_transaction_are_published_once_even_if_it_is_repeated(
    service: Service, kafka_servers: str
) -> None:
    """Several transactions change the same document, so all but one of them start again."""
    relationship = RelationshipBuilder()
    shared_id, document_ids = uuid4(), [uuid4() for _ in range(3)]
    events = [relationship.completed(week) for week in range(3)]

    async def change_both(i: int, transaction: Transaction) -> None:
        await transaction.change(service.counts, shared_id, add_number(i))
        await transaction.change(service.counts, document_ids[i], add_number(i, events[i]))

    async with service.kafka.run(), service.outbox.run():
        await service.counts.change(shared_id, add_number(-1))
        await asyncio.gather(*(change_in_transaction(service.mongo, partial(change_both, i)) for i in range(3)))
        for document_id in document_ids:
            await wait_until(partial(_has_nothing_pending, service, document_id))

    published = await read_events(kafka_servers, SESSIONS, relationship.relationship_id)
    assert sorted(event.id for event in published) == sorted(event.id for event in events)


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


async def test_a_message_is_byte_for_byte_the_stored_outbox_entry(service: Service, kafka_servers: str) -> None:
    relationship = RelationshipBuilder()
    document_id, events = uuid4(), [relationship.completed(0), relationship.completed(1)]
    await service.counts.change(document_id, add_number(1, *events))
    stored = [entry["event"].encode() for entry in await service.pending_entries(document_id)]

    async with service.kafka.run(), service.outbox.run():
        await wait_until(lambda: _has_nothing_pending(service, document_id))

    assert await read_messages(kafka_servers, SESSIONS, relationship.relationship_id) == stored


async def test_an_entry_that_an_older_version_stored_is_published_unchanged(
    service: Service, kafka_servers: str
) -> None:
    document_id, relationship_id = uuid4(), uuid4()
    entry = create_old_entry(relationship_id, since=now() - 2 * RELAY_AFTER)
    await service.counts.collection.insert_one({"_id": document_id, "v": 1, "by": [1], "owed": [entry]})

    async with service.kafka.run(), service.outbox.run():
        await wait_until(lambda: _has_nothing_pending(service, document_id))

    assert await read_messages(kafka_servers, ALERTS, relationship_id) == [entry["event"].encode()]


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


async def read_messages(servers: str, topic: Topic, key: UUID) -> list[bytes]:
    """The values of the messages under `key`, in order."""
    return [record.value for record in await read_records(servers, topic) if record.key == str(key).encode()]


async def _has_nothing_pending(service: Service, document_id: UUID) -> bool:
    document = await service.counts.collection.find_one({"_id": document_id})
    return document is not None and not document["owed"]
