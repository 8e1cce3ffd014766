"""HTTP writes: decided once, written whole with what they owe, and published whatever dies in between."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict

from shared.errors import Refused
from shared.events import Event
from shared.events.topics import SESSIONS
from shared.kafka import Kafka
from shared.kafka.metrics import KafkaMetrics
from shared.mongo.client import Mongo
from shared.outbox.documents import Decide, Documents, change_together
from shared.outbox.relay import LEFT_OWED_AFTER, Outbox, owed
from shared.runtime.clock import now
from tests.support.builders import Told
from tests.support.kafka_reader import told
from tests.support.serving import until


class Count(BaseModel):
    """How often something was counted, and by whom."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    by: tuple[int, ...] = ()


@dataclass
class Desk:
    """A service's writing side: documents, and the outbox that publishes what they owe."""

    mongo: Mongo
    kafka: Kafka
    outbox: Outbox
    counts: Documents[Count]


@pytest.fixture(params=["motor", "pymongo"])
async def desk(request: pytest.FixtureRequest, kafka_servers: str, mongodb_uri: str) -> AsyncIterator[Desk]:
    driver: Literal["motor", "pymongo"] = request.param
    mongo = Mongo(mongodb_uri, f"test_{uuid4().hex}", driver)
    registry = CollectorRegistry()
    kafka = Kafka(kafka_servers, "desk", KafkaMetrics(registry), now)
    outbox = Outbox(kafka, [mongo["counts"]], registry, lambda: now() - timedelta(hours=1))  # nothing hangs on it
    yield Desk(mongo, kafka, outbox, Documents(mongo["counts"], Count, outbox, now))
    await mongo.close()


def counted(number: int, *events: Event) -> Decide[Count]:
    """One more in the count; counted before, nothing changes."""

    def decide(count: Count | None) -> tuple[Count, Sequence[Event]]:
        before = count or Count()
        if number in before.by:
            return before, ()
        return Count(by=(*before.by, number)), events

    return decide


async def test_of_many_who_change_a_document_at_once_none_is_lost(desk: Desk) -> None:
    document_id = uuid4()

    await asyncio.gather(*(desk.counts.change(document_id, counted(n)) for n in range(12)))

    count = await desk.counts.get(document_id)
    assert count is not None
    assert sorted(count.by) == list(range(12))


async def test_a_change_made_before_writes_nothing_and_owes_nothing(desk: Desk) -> None:
    document_id, event = uuid4(), Told().held(0)

    await desk.counts.change(document_id, counted(1, event))
    before = await desk.counts.collection.find_one({"_id": document_id})
    await desk.counts.change(document_id, counted(1, event))

    assert await desk.counts.collection.find_one({"_id": document_id}) == before
    assert before is not None
    assert [entry["id"] for entry in before["owed"]] == [event.id]


async def test_what_is_refused_changes_nothing(desk: Desk) -> None:
    document_id = uuid4()

    def refuse(_: Count | None) -> tuple[Count, Sequence[Event]]:
        raise Refused("no", "not today")

    with pytest.raises(Refused, match="not today"):
        await desk.counts.change(document_id, refuse)
    assert await desk.counts.get(document_id) is None


async def test_several_documents_change_together_or_not_at_all(desk: Desk) -> None:
    first, second = uuid4(), uuid4()

    def refuse(_: Count | None) -> tuple[Count, Sequence[Event]]:
        raise Refused("no", "not today")

    with pytest.raises(Refused):
        await change_together(desk.mongo, [(desk.counts, first, counted(1)), (desk.counts, second, refuse)])
    assert await desk.counts.get(first) is None

    await change_together(desk.mongo, [(desk.counts, first, counted(1)), (desk.counts, second, counted(2))])
    assert await desk.counts.get(first) == Count(by=(1,))
    assert await desk.counts.get(second) == Count(by=(2,))


async def test_what_is_owed_is_published_at_once_and_owed_no_more(desk: Desk, kafka_servers: str) -> None:
    relationship = Told()
    document_id, events = uuid4(), [relationship.held(0), relationship.held(1)]

    async with desk.kafka.running(), desk.outbox.running():
        await desk.counts.change(document_id, counted(1, *events))
        # sooner than what a crash leaves owed would be found
        await until(lambda: _owes_nothing(desk, document_id), within=0.9 * LEFT_OWED_AFTER.total_seconds())

    assert await told(kafka_servers, SESSIONS, relationship.relationship) == events


@pytest.mark.parametrize("wrong", [timedelta(0), timedelta(hours=1), timedelta(hours=-1)])
async def test_what_a_crash_left_owed_is_found_and_published(desk: Desk, kafka_servers: str, wrong: timedelta) -> None:
    """The process died between the write and the publishing, and its clock may have been wrong; the next one starts."""
    relationship = Told()
    document_id, event = uuid4(), relationship.held(0)
    enqueued_at = now() - 2 * LEFT_OWED_AFTER + wrong
    await desk.counts.collection.insert_one({"_id": document_id, "v": 1, "by": [1], "owed": owed([event], enqueued_at)})

    async with desk.kafka.running(), desk.outbox.running():
        await until(lambda: _owes_nothing(desk, document_id))

    assert await told(kafka_servers, SESSIONS, relationship.relationship) == [event]
    assert await desk.counts.get(document_id) == Count(by=(1,))


async def test_a_write_is_durable_while_kafka_is_away_and_published_when_it_is_back(
    desk: Desk, kafka_servers: str
) -> None:
    relationship = Told()
    document_id, event = uuid4(), relationship.held(0)

    async with desk.outbox.running():
        await desk.counts.change(document_id, counted(1, event))
        assert not await _owes_nothing(desk, document_id)
        async with desk.kafka.running():
            await until(lambda: _owes_nothing(desk, document_id))

    assert await told(kafka_servers, SESSIONS, relationship.relationship) == [event]


async def _owes_nothing(desk: Desk, which: UUID) -> bool:
    document = await desk.counts.collection.find_one({"_id": which})
    return document is not None and not document["owed"]
