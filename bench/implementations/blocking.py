"""The plain loop for frameworks without asyncio: PyMongo and Confluent's producer."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from confluent_kafka import Producer
from pymongo import MongoClient, ReplaceOne, WriteConcern

from bench.implementations import common
from services.alliance.store.mongo import from_document, to_document
from services.alliance.store.protocol import VersionedState


class BlockingLoop:
    """Handles batches of messages."""

    def __init__(self) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(
            common.MONGODB_URI, uuidRepresentation="standard", tz_aware=True
        )
        database = client.get_database(common.DATABASE, write_concern=WriteConcern(w="majority", j=True))
        self.events, self.alliances = database["facts"], database["alliances"]

    def handle_batch(self, messages: Iterable[bytes]) -> list[common.Message]:
        """Store the events and the new states; return the derived events as messages."""
        events = common.decode_events(messages)
        self.events.insert_many([common.event_document(event) for event in events], ordered=False)
        events_by_relationship = common.group_by_relationship(events)
        states = self.load(events_by_relationship)
        late_relationships = [
            r for r, new_events in events_by_relationship.items() if common.has_late_events(states[r], new_events)
        ]
        histories = self.load_histories(late_relationships) if late_relationships else {}
        changed = [
            common.refold_history(states[r], histories[r])
            if r in histories
            else common.fold_new_events(states[r], new_events)
            for r, new_events in events_by_relationship.items()
        ]
        writes = [ReplaceOne({"_id": state.relationship}, to_document(state), upsert=True) for state in changed]
        self.alliances.bulk_write(writes, ordered=False)
        return [message for state in changed for message in common.derived_messages(state)]

    def load(self, relationships: Collection[UUID]) -> Mapping[UUID, VersionedState]:
        documents = self.alliances.find({"_id": {"$in": list(relationships)}})
        states = {document["_id"]: from_document(document) for document in documents}
        return {r: states.get(r) or VersionedState(r) for r in relationships}

    def load_histories(self, relationships: Collection[UUID]) -> Mapping[UUID, list[common.Document]]:
        histories: defaultdict[UUID, list[common.Document]] = defaultdict(list)
        for document in self.events.find({"r": {"$in": list(relationships)}}):
            histories[document["r"]].append(document)
        return histories


class BlockingPublisher:
    """Publishes messages, and waits until Kafka has acknowledged them."""

    def __init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": common.BOOTSTRAP_SERVERS, "acks": "all", "linger.ms": 5})

    def publish(self, messages: Iterable[common.Message]) -> None:
        for message in messages:
            self._producer.produce(message.topic, message.value, message.key)
            self._producer.poll(0)
        self._producer.flush()
