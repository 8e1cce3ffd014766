"""The plain loop: aiokafka and Motor in batches, the same fold, the same writes, and nothing else.

It handles no concurrent writer, no failure and no undecodable message, and has no metrics and no logs.
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
from services.alliance.store.mongo import from_document, to_document
from services.alliance.store.protocol import VersionedState


class PlainLoop:
    """One process of the plain loop."""

    def __init__(self) -> None:
        client: Any = AsyncIOMotorClient(common.MONGODB_URI, uuidRepresentation="standard", tz_aware=True)
        database = client.get_database(common.DATABASE, write_concern=WriteConcern(w="majority", j=True))
        self.events, self.alliances = database["facts"], database["alliances"]
        self.producer = AIOKafkaProducer(
            bootstrap_servers=common.BOOTSTRAP_SERVERS, acks="all", linger_ms=5, max_batch_size=128 * 1024
        )

    async def run(self, batch_size: int) -> None:
        consumer = AIOKafkaConsumer(
            *common.TOPICS,
            bootstrap_servers=common.BOOTSTRAP_SERVERS,
            group_id=common.GROUP,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await self.producer.start()
        await consumer.start()
        while True:
            batch = await consumer.getmany(timeout_ms=200, max_records=batch_size)
            if messages := [record.value for records in batch.values() for record in records]:
                await self.handle_batch(messages)
                await consumer.commit()

    async def handle_batch(self, messages: list[bytes]) -> None:
        events = common.decode_events(messages)
        await self.events.insert_many([common.event_document(event) for event in events], ordered=False)
        events_by_relationship = common.group_by_relationship(events)
        states = await self.load(events_by_relationship)
        late_relationships = [
            r for r, new_events in events_by_relationship.items() if common.has_late_events(states[r], new_events)
        ]
        histories = await self.load_histories(late_relationships) if late_relationships else {}
        changed = [
            common.refold_history(states[r], histories[r])
            if r in histories
            else common.fold_new_events(states[r], new_events)
            for r, new_events in events_by_relationship.items()
        ]
        writes = [ReplaceOne({"_id": state.relationship}, to_document(state), upsert=True) for state in changed]
        await self.alliances.bulk_write(writes, ordered=False)
        sends = [
            await self.producer.send(message.topic, message.value, key=message.key)
            for state in changed
            for message in common.derived_messages(state)
        ]
        await asyncio.gather(*sends)

    async def load(self, relationships: Collection[UUID]) -> Mapping[UUID, VersionedState]:
        documents = await self.alliances.find({"_id": {"$in": list(relationships)}}).to_list(None)
        states = {document["_id"]: from_document(document) for document in documents}
        return {r: states.get(r) or VersionedState(r) for r in relationships}

    async def load_histories(self, relationships: Collection[UUID]) -> Mapping[UUID, list[common.Document]]:
        histories: defaultdict[UUID, list[common.Document]] = defaultdict(list)
        for document in await self.events.find({"r": {"$in": list(relationships)}}).to_list(None):
            histories[document["r"]].append(document)
        return histories


def main(batch_size: int) -> None:
    async def serve() -> None:
        await PlainLoop().run(batch_size)

    uvloop.run(serve())


if __name__ == "__main__":
    main(common.BATCH_SIZE)
