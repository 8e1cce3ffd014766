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
        facts = common.read(messages)
        self.facts.insert_many([common.fact_document(fact) for fact in facts], ordered=False)
        waiting = common.by_relationship(facts)
        kept = self.recall(waiting)
        late = [r for r, new in waiting.items() if common.is_late(kept[r], new)]
        histories = self.history(late) if late else {}
        changed = [
            common.read_anew(kept[r], histories[r]) if r in histories else common.took_in(kept[r], new)
            for r, new in waiting.items()
        ]
        writes = [ReplaceOne({"_id": new.relationship}, as_document(new), upsert=True) for new in changed]
        self.alliances.bulk_write(writes, ordered=False)
        return [news for new in changed for news in common.news_of(new)]

    def recall(self, relationships: Collection[UUID]) -> Mapping[UUID, Kept]:
        found = self.alliances.find({"_id": {"$in": list(relationships)}})
        there = {document["_id"]: as_kept(document) for document in found}
        return {r: there.get(r) or Kept(r) for r in relationships}

    def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[common.Document]]:
        histories: defaultdict[UUID, list[common.Document]] = defaultdict(list)
        for document in self.facts.find({"r": {"$in": list(relationships)}}):
            histories[document["r"]].append(document)
        return histories


class Teller:
    """Publishes what follows, and waits until Kafka has it."""

    def __init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": common.KAFKA, "acks": "all", "linger.ms": 5})

    def tell(self, news: Iterable[common.News]) -> None:
        for one in news:
            self._producer.produce(one.topic, one.value, one.key)
            self._producer.poll(0)
        self._producer.flush()
