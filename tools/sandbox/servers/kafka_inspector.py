"""Kafka seen from outside: creates topics, reads their records, and measures the lag of each consumer."""

import os
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import ALL_TOPICS, CONSUMED_TOPICS, Topic
from shared.kafka.topic_reader import TopicReader
from tools.sandbox.servers.process import PROJECT_ROOT, RunError


def create_topics(servers: str, partitions: int) -> None:
    """Create or update the topics with the job that operators run, in a process of its own. Raises RunError."""
    job = subprocess.run(
        [sys.executable, "-m", "deploy.jobs.topics"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_PARTITIONS": str(partitions)},
        capture_output=True,
        text=True,
        check=False,
    )
    if job.returncode:
        raise RunError(job.stderr.strip() or job.stdout.strip())


class KafkaInspector:
    """Reads all topics and the committed offsets of all consumers."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._reader = TopicReader(bootstrap_servers, ALL_TOPICS)
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        await self._admin.start()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._admin.close()
        await self._reader.__aexit__(error_type, error, traceback)

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """The end offset of each partition of every topic."""
        ranges = await self._reader.offset_ranges(self._reader.partitions)
        return {partition: offset_range.stop for partition, offset_range in ranges.items()}

    async def lag(self, end_offsets: Mapping[TopicPartition, int]) -> dict[str, int]:
        """How many messages each consumer has not committed yet."""
        return {group: await self._group_lag(group, end_offsets) for group in CONSUMED_TOPICS}

    async def _group_lag(self, group: str, end_offsets: Mapping[TopicPartition, int]) -> int:
        committed = await self._admin.list_consumer_group_offsets(group)
        topic_names = {topic.name for topic in CONSUMED_TOPICS[group]}
        committed_offsets = {
            partition: max(0, offset_metadata.offset) for partition, offset_metadata in committed.items()
        }
        return sum(
            max(0, end_offset - committed_offsets.get(topic_partition, 0))
            for topic_partition, end_offset in end_offsets.items()
            if topic_partition.topic in topic_names
        )

    async def read_records(self, topic: Topic) -> list[ConsumerRecord]:
        """Every record that is on `topic` now."""
        partitions = [partition for partition in self._reader.partitions if partition.topic == topic.name]
        return [record async for records in self._reader.read(partitions, {}) for record in records]
