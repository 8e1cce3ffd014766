"""The plain loop's work for frameworks that know no asyncio: PyMongo and Confluent's producer."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from confluent_kafka import Producer
from pymongo import MongoClient, ReplaceOne, WriteConcern

from bench.implementations import common
from services.alliance.store.mongo import Kept, as_document, as_kept


class Blocking:
    """Takes messages, and returns what follows when it is written."""

    def __init__(self) -> None:
        client: MongoClient[dict[str, Any]] = MongoClient(common.MONGODB, uuidRepresentation="standard", tz_aware=True)
        database = client.get_database(common.DATABASE, write_concern=WriteConcern(w="majority", j=True))
        self.facts, self.alliances = database["facts"], database["alliances"]

    def take(self, messages: Iterable[bytes]) -> list[common.News]:
        events = common.read(messages)
        self.facts.insert_many([common.fact_document(event) for event in events], ordered=False)
        events_by_relationship = common.by_relationship(events)
        states = self.recall(events_by_relationship)
        late_relationships = [
            r for r, new_events in events_by_relationship.items() if common.is_late(states[r], new_events)
        ]
        histories = self.history(late_relationships) if late_relationships else {}
        changed = [
            common.read_anew(states[r], histories[r]) if r in histories else common.took_in(states[r], new_events)
            for r, new_events in events_by_relationship.items()
        ]
        writes = [
            ReplaceOne({"_id": new_events.relationship}, as_document(new_events), upsert=True) for new_events in changed
        ]
        self.alliances.bulk_write(writes, ordered=False)
        return [messages_of_state for new_events in changed for messages_of_state in common.news_of(new_events)]

    def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        documents = self.alliances.find({"_id": {"$in": list(relationships)}})
        states = {document["_id"]: as_kept(document) for document in documents}
        return {r: states.get(r) or Kept(r) for r in relationships}

    def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[common.Document]]:
        histories: defaultdict[UUID, list[common.Document]] = defaultdict(list)
        for document in self.facts.find({"r": {"$in": list(relationships)}}):
            histories[document["r"]].append(document)
        return histories


class Teller:
    """Publishes what follows, and waits until Kafka has it."""

    def __init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": common.KAFKA, "acks": "all", "linger.ms": 5})

    def tell(self, messages: Iterable[common.News]) -> None:
        for message in messages:
            self._producer.produce(message.topic, message.value, message.key)
            self._producer.poll(0)
        self._producer.flush()
