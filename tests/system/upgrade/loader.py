"""Loads a recording into an empty Kafka and an empty MongoDB."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from bson import json_util
from pymongo import AsyncMongoClient, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase

from tests.system.upgrade.archive import CODEC, Collection, Document, Record, Recording
from tests.system.upgrade.shift import map_leaves


class LoadError(Exception):
    """The recording cannot be loaded unchanged. The message says what differs."""


def with_webhooks_at(recording: Recording, address: str) -> Recording:
    """The recording with `address` instead of the recorded webhook base URLs."""

    def readdress(leaf: Any) -> Any:
        for old in recording.manifest.webhooks if isinstance(leaf, str) else ():
            leaf = leaf.replace(old, address)
        return leaf

    for collections in recording.databases.values():
        for collection in collections.values():
            collection.documents[:] = map_leaves(collection.documents, readdress)
    return recording


async def load(recording: Recording, kafka: str, mongodb: str) -> None:
    """Load everything. The topics must exist and be empty. Raises LoadError."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True) as producer:
        for topic, records in recording.topics.items():
            await _load_topic(producer, topic, records, recording.manifest.partitions)
    for group, offsets in recording.groups.items():
        await _commit(kafka, group, offsets)
    async with AsyncMongoClient[Document](mongodb) as mongo:
        for name, collections in recording.databases.items():
            database = mongo.get_database(name, codec_options=CODEC, write_concern=WriteConcern("majority", j=True))
            for collection, content in collections.items():
                await _load_collection(database, collection, content)


async def _load_topic(producer: AIOKafkaProducer, topic: str, records: Iterable[Record], partitions: int) -> None:
    known = await producer.partitions_for(topic)
    if len(known) != partitions:
        raise LoadError(f"{topic} has {len(known)} partitions, and {partitions} were recorded")
    sent = [(record, await _send(producer, topic, record)) for record in records]
    for record, acknowledged in sent:
        offset = (await acknowledged).offset
        if offset != record.offset:
            raise LoadError(f"{topic}/{record.partition}/{record.offset} was stored at offset {offset}")


async def _send(producer: AIOKafkaProducer, topic: str, record: Record) -> "asyncio.Future[Any]":
    future: asyncio.Future[Any] = await producer.send(
        topic,
        key=record.key,
        value=record.value,
        partition=record.partition,
        timestamp_ms=record.timestamp,
        headers=list(record.headers),
    )
    return future


async def _commit(kafka: str, group: str, offsets: Mapping[str, Mapping[int, int]]) -> None:
    """Commit as a consumer that takes its partitions without asking the group, which has no member yet."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False) as consumer:
        committed = {
            TopicPartition(topic, partition): OffsetAndMetadata(offset, "")
            for topic, of in offsets.items()
            for partition, offset in of.items()
        }
        consumer.assign(list(committed))
        await consumer.commit(committed)


async def _load_collection(database: AsyncDatabase[Document], name: str, content: Collection) -> None:
    await database.create_collection(name)
    if content.documents:
        await database[name].insert_many(content.documents)
    indexes = [json_util.loads(json_util.dumps(index)) for index in content.indexes if index["name"] != "_id_"]
    if indexes:
        await database.command("createIndexes", name, indexes=indexes)
