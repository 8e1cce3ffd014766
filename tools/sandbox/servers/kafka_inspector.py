"""Kafka seen from outside: creating the topics, what is on them, and how far each consumer has come."""

import os
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from shared.events.topics import ALERTS, ALL_TOPICS, ALLIANCE, FEEDBACK, INTAKE, SESSIONS, Topic
from tools.sandbox.servers.process import PROJECT_ROOT, RunError

CONSUMED_TOPICS: Mapping[str, tuple[Topic, ...]] = {
    "sessions": (INTAKE,),
    "alliance": (INTAKE, SESSIONS, FEEDBACK, ALERTS),
    "notify": (INTAKE, SESSIONS, ALLIANCE),
}
"""As the design has it."""


def create_topics(servers: str, partitions: int) -> None:
    """Create the topics that are missing, as operators do: by the job, in a process of its own. Raises CannotRun."""
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
    """All topics, as anybody may read them."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
        self._admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._admin.close()
        await self._consumer.stop()

    async def end_offsets(self) -> dict[TopicPartition, int]:
        """How many messages lie on each partition of every topic."""
        offsets = await self._consumer.end_offsets(
            [topic_partition for topic in ALL_TOPICS for topic_partition in await self._topic_partitions(topic)]
        )
        return cast("dict[TopicPartition, int]", offsets)

    async def lag(self, end_offsets: Mapping[TopicPartition, int]) -> dict[str, int]:
        """How many messages each consumer has not taken and committed yet."""
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
        """All that lies on `topic` now."""
        partitions = await self._topic_partitions(topic)
        end_offsets = await self._consumer.end_offsets(partitions)
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        records: list[ConsumerRecord] = []
        while any(
            [
                await self._consumer.position(topic_partition) < end_offset
                for topic_partition, end_offset in end_offsets.items()
            ]
        ):
            for batch in (await self._consumer.getmany(timeout_ms=1000)).values():
                records += batch
        self._consumer.unsubscribe()
        return records

    async def _topic_partitions(self, topic: Topic) -> list[TopicPartition]:
        if not (partition_ids := self._consumer.partitions_for_topic(topic.name)):
            await self._consumer._client.force_metadata_update()
            partition_ids = self._consumer.partitions_for_topic(topic.name)
        return [TopicPartition(topic.name, partition) for partition in partition_ids or ()]
