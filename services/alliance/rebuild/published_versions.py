"""The versions on `clinic.alliance`. A rebuilt state must have a higher one, or its consumers would ignore it."""

import asyncio
from uuid import UUID

from shared.events import AllianceUpdated
from shared.events.topics import ALLIANCE
from shared.kafka.event_reader import EventReader, PartitionSlice


class PublishedVersions:
    """The highest version that was published of each relationship in a slice, read when it is first needed."""

    def __init__(self, servers: str, partition_slice: PartitionSlice) -> None:
        self.partition_slice = partition_slice
        self._servers = servers
        self._versions: dict[UUID, int] | None = None
        self._read_lock = asyncio.Lock()

    async def highest(self, relationship: UUID) -> int:
        """0 if none was published. Raises BrokerUnavailable."""
        async with self._read_lock:
            if self._versions is None:
                self._versions = await self._read_topic()
        return self._versions.get(relationship, 0)

    async def _read_topic(self) -> dict[UUID, int]:
        versions: dict[UUID, int] = {}
        async with EventReader(self._servers, (ALLIANCE,), (AllianceUpdated,)) as reader:
            async for batch in reader.read(self.partition_slice, {}):
                for recorded in batch:
                    if isinstance(event := recorded.event, AllianceUpdated):
                        versions[event.relationship_id] = max(event.version, versions.get(event.relationship_id, 0))
        return versions
