"""Waiting until the system is well again, and until it is at rest."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from tests.system.chaos.rig import Rig
from tools.sandbox.servers.inspection import still
from tools.sandbox.servers.kafka_inspector import Topics

LOOK_EVERY = 0.5
LAPSES_WITHIN = timedelta(seconds=20)
"""After its deadline a form is known to have stayed unanswered within this; the service's own grace is ten."""
OWED: Mapping[str, Sequence[str]] = {
    "attune_intake": ("clinics", "clinicians", "clients", "relationships"),
    "attune_sessions": ("sessions",),
    "attune_notify": ("alerts",),
}


class Recovery:
    """Looks at the rig from outside, past the proxies."""

    def __init__(self, rig: Rig, kafka_inspector: Topics) -> None:
        self._rig = rig
        self._topics = kafka_inspector
        self._http = httpx2.AsyncClient(timeout=5)
        self._mongo = AsyncMongoClient[dict[str, Any]](rig.stores.mongodb.address, serverSelectionTimeoutMS=2_000)

    async def close(self) -> None:
        await self._http.aclose()
        await self._mongo.close()

    async def within(self, seconds: float) -> float | None:
        """Seconds until all are ready and have taken what lay on the topics at the beginning; none if they do not."""
        started_at, end_offsets = time.monotonic(), None
        while (elapsed_seconds := time.monotonic() - started_at) < seconds:
            with suppress(KafkaError, OSError):
                end_offsets = end_offsets or await self._topics.ends()
                if await self._all_ready() and not await self._behind(end_offsets):
                    return elapsed_seconds
            await asyncio.sleep(LOOK_EVERY)
        return None

    async def rest(self, seconds: float) -> bool:
        """Whether it comes to this: no consumer behind, nothing owed to anybody, nothing moving any more."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            received = (self._rig.mails, self._rig.hooks)
            if await still(self._topics, received, deadline - time.monotonic()) and not await self._owed():
                return True
        return False

    async def _all_ready(self) -> bool:
        responses = [self._http.get(f"{process.url}/health/ready") for process in self._rig.processes]
        try:
            return all(response.status_code == 200 for response in await asyncio.gather(*responses))
        except httpx2.TransportError:
            return False

    async def _behind(self, end_offsets: Mapping[TopicPartition, int]) -> bool:
        return any((await self._topics.lag(end_offsets)).values())

    async def _owed(self) -> int:
        try:
            outbox_counts = [
                await self._mongo[database][name].count_documents({"owed.0": {"$exists": True}})
                for database, names in OWED.items()
                for name in names
            ]
            deliveries = self._mongo["attune_notify"]["deliveries"]
            overdue_lapses = {"next_lapse_at": {"$lt": datetime.now(UTC) - LAPSES_WITHIN}}
            return (
                sum(outbox_counts)
                + await deliveries.count_documents({"next_at": {"$exists": True}})
                + await self._mongo["attune_sessions"]["sessions"].count_documents(overdue_lapses)
            )
        except PyMongoError:
            return 1
