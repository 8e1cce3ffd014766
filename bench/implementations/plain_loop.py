"""The plain loop: aiokafka and Motor in batches, the same fold, the same writes, and nothing else.

It knows no other writer, no failure and no unreadable message, and nobody can see what it does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReplaceOne, WriteConcern

from bench.implementations import common
from services.alliance.store.mongo import Kept, as_document, as_kept


class Plain:
    """One process of it."""

    def __init__(self) -> None:
        client: Any = AsyncIOMotorClient(common.MONGODB, uuidRepresentation="standard", tz_aware=True)
        database = client.get_database(common.DATABASE, write_concern=WriteConcern(w="majority", j=True))
        self.facts, self.alliances = database["facts"], database["alliances"]
        self.producer = AIOKafkaProducer(
            bootstrap_servers=common.KAFKA, acks="all", linger_ms=5, max_batch_size=128 * 1024
        )

    async def run(self, at_once: int) -> None:
        consumer = AIOKafkaConsumer(
            *common.TOPICS,
            bootstrap_servers=common.KAFKA,
            group_id=common.GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await self.producer.start()
        await consumer.start()
        while True:
            taken = await consumer.getmany(timeout_ms=200, max_records=at_once)
            if messages := [record.value for records in taken.values() for record in records]:
                await self.take(messages)
                await consumer.commit()

    async def take(self, messages: list[bytes]) -> None:
        facts = common.read(messages)
        await self.facts.insert_many([common.fact_document(fact) for fact in facts], ordered=False)
        waiting = common.by_relationship(facts)
        kept = await self.recall(waiting)
        late = [r for r, new in waiting.items() if common.is_late(kept[r], new)]
        histories = await self.history(late) if late else {}
        changed = [
            common.read_anew(kept[r], histories[r]) if r in histories else common.took_in(kept[r], new)
            for r, new in waiting.items()
        ]
        writes = [ReplaceOne({"_id": new.relationship}, as_document(new), upsert=True) for new in changed]
        await self.alliances.bulk_write(writes, ordered=False)
        told = [await self.producer.send(n.topic, n.value, key=n.key) for new in changed for n in common.news_of(new)]
        await asyncio.gather(*told)

    async def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        found = await self.alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        there = {document["_id"]: as_kept(document) for document in found}
        return {r: there.get(r) or Kept(r) for r in relationships}

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[common.Document]]:
        histories: defaultdict[UUID, list[common.Document]] = defaultdict(list)
        for document in await self.facts.find({"r": {"$in": list(relationships)}}).to_list(None):
            histories[document["r"]].append(document)
        return histories


def main(at_once: int) -> None:
    async def forever() -> None:
        await Plain().run(at_once)

    uvloop.run(forever())


if __name__ == "__main__":
    main(common.BATCH)
