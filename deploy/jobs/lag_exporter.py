"""Consumer lag, measured from outside: `python -m deploy.jobs.lag_exporter` exports it at `/metrics`.

A consumer that is dead, stuck or paused cannot report its own lag. This process only asks Kafka for the committed
offsets of each group, the end offsets of each topic, and the timestamp of the oldest message not committed yet.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import Field
from pydantic_settings import BaseSettings

from shared.events.topics import CONSUMED_TOPICS, Topic, dead_letter_topic
from shared.http.health import add_health_routes
from shared.http.metrics import HttpMetrics
from shared.http.ops import create_ops_app
from shared.http.server import serve_ops
from shared.kafka.errors import translate_errors
from shared.runtime.background import retry_until_done, run_in_background
from shared.runtime.logs import configure_logging
from shared.runtime.metrics import process_registry
from shared.runtime.settings import BootstrapServers, HttpLimits, load_settings

log = structlog.get_logger()

ConsumedTopics = Mapping[str, tuple[Topic, ...]]

MAX_MEASUREMENT_AGE_SECONDS = 30.0
"""A measurement older than this is no longer exported."""
FETCH_TIMEOUT_MS = 5_000
"""The time for a broker to return one message."""
MAX_FETCH_BYTES = 16 * 1024
"""Enough for one message: only the first is used."""


class LagSettings(BaseSettings):
    """Each name in capitals is an environment variable. The metrics are about nobody, so anybody may read them."""

    kafka_bootstrap_servers: BootstrapServers
    ops_host: str = "127.0.0.1"
    ops_port: int = Field(default=9005, ge=1, le=65_535)
    lag_check_seconds: float = Field(default=5.0, gt=0, le=600)
    """The interval between two measurements."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True)
class PartitionLag:
    """The lag of one group on one partition."""

    messages: int
    oldest_timestamp: float | None
    """When the oldest of them was appended, in seconds since 1970; None if there is none."""


@dataclass(frozen=True)
class LagMeasurement:
    """The offsets, lags and group members at one time."""

    measured_at: float
    end_offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    lags: Mapping[tuple[str, TopicPartition], PartitionLag] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)


class LagCollector(Collector):
    """Exports the latest measurement; nothing if it is too old to be taken for the present."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._latest = LagMeasurement(measured_at=0.0)
        registry.register(self)

    def update(self, latest: LagMeasurement) -> None:
        self._latest = latest

    def is_fresh(self) -> bool:
        """Whether the latest measurement is recent."""
        return time.time() - self._latest.measured_at < MAX_MEASUREMENT_AGE_SECONDS

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterable[Metric]:
        messages, seconds, members, appended = families = self._families()
        if not self.is_fresh():
            return families
        now, latest = time.time(), self._latest
        for (group, partition), lag in latest.lags.items():
            labels = [group, partition.topic, str(partition.partition)]
            messages.add_metric(labels, lag.messages)
            seconds.add_metric(
                labels, max(0.0, now - lag.oldest_timestamp) if lag.oldest_timestamp is not None else 0.0
            )
        for group, count in latest.members.items():
            members.add_metric([group], count)
        for topic in {partition.topic for partition in latest.end_offsets}:
            appended.add_metric(
                [topic],
                sum(
                    end_offset
                    for topic_partition, end_offset in latest.end_offsets.items()
                    if topic_partition.topic == topic
                ),
            )
        return families

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily]:
        labels = ["group", "topic", "partition"]
        return (
            GaugeMetricFamily(
                "attune_consumer_lag_messages",
                "Messages that a consumer group has not committed yet.",
                labels=labels,
            ),
            GaugeMetricFamily(
                "attune_consumer_lag_seconds",
                "Age of the oldest message that a consumer group has not committed yet; 0 when there is none.",
                labels=labels,
            ),
            GaugeMetricFamily("attune_consumer_members", "Members of a consumer group.", labels=["group"]),
            CounterMetricFamily(
                "attune_topic_messages",
                "Messages ever appended to a topic, including dead-letter topics.",
                labels=["topic"],
            ),
        )


class LagMonitor:
    """Measures the lag. The message at an offset never changes, so its timestamp is fetched once."""

    def __init__(self, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, consumed_topics: ConsumedTopics) -> None:
        self._admin = admin
        self._reader = reader
        self._consumed_topics = consumed_topics
        self._timestamps: dict[tuple[TopicPartition, int], float | None] = {}

    async def measure(self) -> LagMeasurement:
        """The current lag of all groups. Raises KafkaError."""
        measured_at = time.time()
        names = {
            topic.name
            for group, consumed in self._consumed_topics.items()
            for topic in (*consumed, dead_letter_topic(group))
        }
        topics = await self._admin.describe_topics(sorted(names))
        topic_partitions = [
            TopicPartition(description["topic"], p["partition"])
            for description in topics
            for p in description["partitions"]
        ]
        beginning_offsets = await self._reader.beginning_offsets(topic_partitions)
        next_offsets: dict[tuple[str, TopicPartition], int] = {}
        for group, consumed in self._consumed_topics.items():
            names = {topic.name for topic in consumed}
            committed = await self._admin.list_consumer_group_offsets(group)
            for topic_partition in (
                topic_partition for topic_partition in topic_partitions if topic_partition.topic in names
            ):
                offset = committed[topic_partition].offset if topic_partition in committed else -1
                next_offsets[group, topic_partition] = offset if offset >= 0 else beginning_offsets[topic_partition]
        end_offsets = await self._reader.end_offsets(topic_partitions)  # last, so that no group seems to be ahead
        timestamps = await self._fetch_timestamps(
            {
                (topic_partition, offset)
                for (_, topic_partition), offset in next_offsets.items()
                if offset < end_offsets[topic_partition]
            }
        )
        lags = {
            (group, topic_partition): _partition_lag(offset, end_offsets[topic_partition], timestamps, topic_partition)
            for (group, topic_partition), offset in next_offsets.items()
            if offset >= end_offsets[topic_partition] or (topic_partition, offset) in timestamps
        }
        return LagMeasurement(measured_at, end_offsets, lags, await self._count_members())

    async def _fetch_timestamps(
        self, positions: set[tuple[TopicPartition, int]]
    ) -> dict[tuple[TopicPartition, int], float | None]:
        """The timestamp of the message at each position, or behind it; None if there is only a transaction's marker.

        A position whose broker does not answer is left out, so that it hides no other.
        """
        self._timestamps = {
            position: timestamp for position, timestamp in self._timestamps.items() if position in positions
        }
        missing = positions - self._timestamps.keys()
        unanswered: set[tuple[TopicPartition, int]] = set()
        while missing:
            offsets = dict(missing)  # one offset of each partition at a time
            self._reader.assign(list(offsets))
            for partition, offset in offsets.items():
                self._reader.seek(partition, offset)
            for partition, offset in offsets.items():
                try:
                    records = await self._reader.getmany(partition, timeout_ms=FETCH_TIMEOUT_MS, max_records=1)
                except UnicodeDecodeError:  # it cannot be decoded; its age counts from when it was first seen
                    self._timestamps[partition, offset] = time.time()
                    continue
                if records.get(partition):
                    self._timestamps[partition, offset] = records[partition][0].timestamp / 1000
                elif await self._reader.position(partition) > offset:  # passed over what is no record
                    self._timestamps[partition, offset] = None
                else:
                    log.warning("No record was returned", partition=f"{partition.topic}/{partition.partition}/{offset}")
                    unanswered.add((partition, offset))
            missing = positions - self._timestamps.keys() - unanswered
        return self._timestamps

    async def _count_members(self) -> dict[str, int]:
        counts = {}
        for group in self._consumed_topics:  # one by one: aiokafka 0.14 misreads a response about several
            (response,) = await self._admin.describe_consumer_groups([group])
            (described,) = response.to_object()["groups"]
            counts[group] = len(described["members"])
        return counts


def _partition_lag(
    offset: int,
    end_offset: int,
    timestamps: Mapping[tuple[TopicPartition, int], float | None],
    partition: TopicPartition,
) -> PartitionLag:
    timestamp = timestamps.get((partition, offset))
    return PartitionLag(end_offset - offset if timestamp is not None else 0, timestamp)


def create_app(settings: LagSettings) -> FastAPI:
    """The ops application, which is all it has; it opens nothing before it is served."""
    registry = process_registry()
    collector = LagCollector(registry)

    async def measure_periodically() -> None:
        async with lag_monitor(settings.kafka_bootstrap_servers) as monitor:
            while True:
                collector.update(await monitor.measure())
                await asyncio.sleep(settings.lag_check_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with run_in_background(retry_until_done("measure consumer lag", measure_periodically)):
            yield

    ops = create_ops_app("Attune lag", HttpLimits(max_body_bytes=1_000), HttpMetrics(registry), lifespan)
    ops.state.registry = registry
    add_health_routes(ops, liveness=lambda: True, readiness={"kafka": collector.is_fresh}, registry=registry)
    return ops


@asynccontextmanager
async def lag_monitor(servers: str, consumed_topics: ConsumedTopics = CONSUMED_TOPICS) -> AsyncIterator[LagMonitor]:
    """A connected LagMonitor. Raises BrokerUnavailable, also for Kafka errors inside the context."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    reader = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
    )
    try:
        with translate_errors():
            await admin.start()
            await reader.start()
            yield LagMonitor(admin, reader, consumed_topics)
    finally:
        await reader.stop()
        await admin.close()


def main() -> None:
    settings = load_settings(LagSettings)
    configure_logging("lag", settings.log_level)
    serve_ops(create_app(settings), settings)


if __name__ == "__main__":
    main()
