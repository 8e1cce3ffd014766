"""Everything that can be observed of an idle Attune: its topics, its databases and its HTTP responses."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import httpx2
from pymongo import AsyncMongoClient

from services.alliance.service import MAX_CONCURRENT_TRAJECTORIES
from shared.events import RelationshipEvent, RelationshipStarted
from tests.system.chaos.checker import topic_contents
from tests.system.chaos.checker.topic_contents import TopicContents
from tests.system.chaos.evidence import Evidence
from tools.sandbox.servers.kafka_inspector import KafkaInspector
from tools.sandbox.servers.stack import SERVICES

MAX_CONCURRENT_REQUESTS = 16

Document = Mapping[str, Any]
Key = TypeVar("Key")


@dataclass(frozen=True)
class ObservedState:
    """The system as it was at `observed_at`."""

    observed_at: datetime
    topic_contents: TopicContents
    databases: Mapping[str, Mapping[str, Mapping[Any, Document]]] = field(default_factory=dict)
    """The documents of each collection of each service, by id."""
    alliances: Mapping[UUID, Any] = field(default_factory=dict)
    """Alliance's view of each relationship; None if alliance does not know it."""
    trajectories: Mapping[UUID, Any] = field(default_factory=dict)
    inboxes: Mapping[UUID, Any] = field(default_factory=dict)
    unready_services: list[str] = field(default_factory=list)

    def documents(self, service: str, collection: str) -> Mapping[Any, Document]:
        """All documents of a collection, by id; empty if the collection does not exist."""
        return self.databases.get(service, {}).get(collection, {})


async def observe(evidence: Evidence, relationships: Collection[UUID]) -> ObservedState:
    """Read topics, databases and views. `relationships` are the acknowledged ones; those on the topics are added."""
    async with KafkaInspector(evidence.bootstrap_servers) as kafka_inspector:
        contents = await topic_contents.read_topics(kafka_inspector, evidence.poison)
    source_events = contents.source_events.values()
    known_ids = {event.relationship_id for event in source_events if isinstance(event, RelationshipEvent)}
    clinics = {e.relationship_id: e.clinic_id for e in source_events if isinstance(e, RelationshipStarted)}
    async with httpx2.AsyncClient(timeout=30) as http:

        async def fetch(service: str, path: str, auth: httpx2.Auth | None) -> Any:
            response = await http.get(evidence.urls[service] + path, auth=auth)
            return response.json() if response.status_code == 200 else None

        async def fetch_alliance(relationship_id: UUID, view: str = "") -> Any:
            if (clinic_id := clinics.get(relationship_id)) is None:
                return None
            auth = evidence.credentials.machine(clinic_id)
            return await fetch("alliance", f"/relationships/{relationship_id}{view}", auth)

        async def fetch_inbox(clinician_id: UUID) -> Any:
            auth = evidence.credentials.clinician(clinician_id)
            return await fetch("notify", f"/clinicians/{clinician_id}/inbox", auth)

        async def is_ready(service: str) -> bool:
            return (await http.get(f"{evidence.ops_urls[service]}/health/ready")).status_code == 200

        relationship_ids = {*relationships, *known_ids}
        return ObservedState(
            observed_at=datetime.now(UTC),
            topic_contents=contents,
            databases=await _read_databases(evidence.mongodb_uri),
            alliances=await _fetch_each(relationship_ids, fetch_alliance),
            trajectories=await _fetch_each(
                relationship_ids,
                lambda relationship_id: fetch_alliance(relationship_id, "/trajectory"),
                MAX_CONCURRENT_TRAJECTORIES,
            ),
            inboxes=await _fetch_each(evidence.clinicians, fetch_inbox),
            unready_services=[name for name in evidence.urls if not await is_ready(name)],
        )


async def _fetch_each(
    keys: Collection[Key], fetch: Callable[[Key], Awaitable[Any]], max_concurrent: int = MAX_CONCURRENT_REQUESTS
) -> dict[Key, Any]:
    semaphore = asyncio.Semaphore(max_concurrent)

    async def fetch_one(key: Key) -> Any:
        async with semaphore:
            return await fetch(key)

    return dict(zip(keys, await asyncio.gather(*map(fetch_one, keys)), strict=True))


async def _read_databases(uri: str) -> dict[str, dict[str, dict[Any, Document]]]:
    databases: dict[str, dict[str, dict[Any, Document]]] = {}
    async with AsyncMongoClient[dict[str, Any]](uri, uuidRepresentation="standard", tz_aware=True) as mongo:
        for service in SERVICES:
            database = mongo[f"attune_{service}"]
            databases[service] = {
                name: {document["_id"]: document async for document in database[name].find()}
                for name in await database.list_collection_names()
            }
    return databases
