"""Waits until the system has recovered, and until it is idle."""

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
from tools.sandbox.servers.inspection import wait_until_idle
from tools.sandbox.servers.kafka_inspector import KafkaInspector

POLL_INTERVAL_SECONDS = 0.5
LAPSE_TIMEOUT = timedelta(seconds=20)
"""How long after its deadline a form may take to lapse; the grace period of the service is 10 s."""
OUTBOX_COLLECTIONS: Mapping[str, Sequence[str]] = {
    "attune_intake": ("clinics", "staff_records", "clinicians", "clients", "relationships"),
    "attune_sessions": ("sessions",),
    "attune_notify": ("alerts",),
}


class RecoveryMonitor:
    """Observes the rig from outside, without the proxies."""

    def __init__(self, rig: Rig, kafka_inspector: KafkaInspector) -> None:
        self._rig = rig
        self._kafka_inspector = kafka_inspector
        self._http = httpx2.AsyncClient(timeout=5)
        self._mongo = AsyncMongoClient[dict[str, Any]](rig.stores.mongodb.address, serverSelectionTimeoutMS=2_000)

    async def close(self) -> None:
        await self._http.aclose()
        await self._mongo.close()

    async def wait_until_recovered(self, timeout_seconds: float) -> float | None:
        """Seconds until all services are ready and have consumed what was on the topics at the start; None if never."""
        started_at, end_offsets = time.monotonic(), None
        while (elapsed_seconds := time.monotonic() - started_at) < timeout_seconds:
            with suppress(KafkaError, OSError):
                end_offsets = end_offsets or await self._kafka_inspector.end_offsets()
                if await self._are_all_ready() and not await self._is_behind(end_offsets):
                    return elapsed_seconds
            await asyncio.sleep(POLL_INTERVAL_SECONDS)
        return None

    async def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether the system becomes idle: no lag, no pending outbox entry, delivery or lapse, and no activity."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            received = (self._rig.received_emails, self._rig.received_webhooks)
            if (
                await wait_until_idle(self._kafka_inspector, received, deadline - time.monotonic())
                and not await self._count_pending()
            ):
                return True
        return False

    async def _are_all_ready(self) -> bool:
        responses = [self._http.get(f"{process.ops_url}/health/ready") for process in self._rig.processes]
        try:
            return all(response.status_code == 200 for response in await asyncio.gather(*responses))
        except httpx2.TransportError:
            return False

    async def _is_behind(self, end_offsets: Mapping[TopicPartition, int]) -> bool:
        return any((await self._kafka_inspector.lag(end_offsets)).values())

    async def _count_pending(self) -> int:
        try:
            outbox_counts = [
                await self._mongo[database][name].count_documents({"owed.0": {"$exists": True}})
                for database, names in OUTBOX_COLLECTIONS.items()
                for name in names
            ]
            deliveries = self._mongo["attune_notify"]["deliveries"]
            overdue_lapses = {"next_lapse_at": {"$lt": datetime.now(UTC) - LAPSE_TIMEOUT}}
            return (
                sum(outbox_counts)
                + await deliveries.count_documents({"next_at": {"$exists": True}})
                + await self._mongo["attune_sessions"]["sessions"].count_documents(overdue_lapses)
            )
        except PyMongoError:
            return 1
