"""How far each consumer is behind, seen from outside: `python -m deploy.jobs.lag_exporter` shows it at `/metrics`.

A consumer that is dead, stuck or paused cannot say how far it is behind. This process only asks Kafka: where each
group stands, where each topic ends, and when the oldest message was told that a group has not done with.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import Field
from pydantic_settings import BaseSettings

from shared.errors import BrokerUnavailable
from shared.events.topics import HEARD_BY, Topic, dead_letters
from shared.http.app import application
from shared.http.health import answer_health
from shared.http.server import serve
from shared.runtime.background import background, until_done
from shared.runtime.logs import configure
from shared.runtime.metrics import process_registry
from shared.runtime.settings import BootstrapServers, load

HeardBy = Mapping[str, tuple[Topic, ...]]

FORGOTTEN_AFTER = 30.0
"""Seconds after which what was measured says nothing any more, and is no longer shown."""
ANSWER_WITHIN_MS = 5_000
"""Milliseconds for a broker to hand out one message."""
FETCH_BYTES = 16 * 1024
"""Only the first message is looked at."""


class LagSettings(BaseSettings):
    """Each name is an environment variable in capitals. What is shown is about nobody, so anybody may see it."""

    kafka_bootstrap_servers: BootstrapServers
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8005, ge=1, le=65_535)
    lag_check_seconds: float = Field(default=5.0, gt=0, le=600)
    """How often Kafka is asked."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True)
class Behind:
    """How far one group is behind on one partition."""

    messages: int
    oldest: float | None
    """When the oldest of them was told, in seconds since 1970; none when there is none."""


@dataclass(frozen=True)
class Measured:
    """What Kafka said, at one moment."""

    at: float
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)
    behind: Mapping[tuple[str, TopicPartition], Behind] = field(default_factory=dict)
    members: Mapping[str, int] = field(default_factory=dict)


class Lag(Collector):
    """Shows what was measured last; nothing when that is too long ago, so that nobody takes it for the present."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._last = Measured(at=0.0)
        registry.register(self)

    def measured(self, last: Measured) -> None:
        self._last = last

    def fresh(self) -> bool:
        """Whether Kafka was asked lately, and answered."""
        return time.time() - self._last.at < FORGOTTEN_AFTER

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterable[Metric]:
        messages, seconds, members, told = families = self._families()
        if not self.fresh():
            return families
        now, last = time.time(), self._last
        for (group, partition), behind in last.behind.items():
            labels = [group, partition.topic, str(partition.partition)]
            messages.add_metric(labels, behind.messages)
            seconds.add_metric(labels, max(0.0, now - behind.oldest) if behind.oldest is not None else 0.0)
        for group, count in last.members.items():
            members.add_metric([group], count)
        for topic in {partition.topic for partition in last.ends}:
            told.add_metric([topic], sum(end for p, end in last.ends.items() if p.topic == topic))
        return families

    def _families(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily]:
        place = ["group", "topic", "partition"]
        return (
            GaugeMetricFamily(
                "attune_consumer_lag_messages", "Messages that a consumer group has not done with.", labels=place
            ),
            GaugeMetricFamily(
                "attune_consumer_lag_seconds",
                "How long ago the oldest message was told that a consumer group has not done with; 0 when it has none.",
                labels=place,
            ),
            GaugeMetricFamily(
                "attune_consumer_members", "Processes that are a member of a consumer group.", labels=["group"]
            ),
            CounterMetricFamily(
                "attune_topic_messages", "Messages ever told on a topic, dead letters among them.", labels=["topic"]
            ),
        )


class Meter:
    """Asks Kafka. What lies at an offset never changes, so it is asked for once."""

    def __init__(self, admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, heard_by: HeardBy) -> None:
        self._admin = admin
        self._reader = reader
        self._heard_by = heard_by
        self._told: dict[tuple[TopicPartition, int], float] = {}

    async def measure(self) -> Measured:
        """Where everybody stands now. Raises KafkaError."""
        at = time.time()
        names = {topic.name for group, heard in self._heard_by.items() for topic in (*heard, dead_letters(group))}
        topics = await self._admin.describe_topics(sorted(names))
        places = [TopicPartition(t["topic"], p["partition"]) for t in topics for p in t["partitions"]]
        starts = await self._reader.beginning_offsets(places)
        waiting: dict[tuple[str, TopicPartition], int] = {}
        for group, heard in self._heard_by.items():
            names = {topic.name for topic in heard}
            committed = await self._admin.list_consumer_group_offsets(group)
            for place in (place for place in places if place.topic in names):
                kept = committed[place].offset if place in committed else -1
                waiting[group, place] = kept if kept >= 0 else starts[place]
        ends = await self._reader.end_offsets(places)  # last, so that nobody seems to be ahead
        told = await self._when_told({(place, at) for (_, place), at in waiting.items() if at < ends[place]})
        behind = {
            (group, place): Behind(max(0, ends[place] - at), told.get((place, at)))
            for (group, place), at in waiting.items()
        }
        return Measured(at, ends, behind, await self._members())

    async def _when_told(self, wanted: set[tuple[TopicPartition, int]]) -> dict[tuple[TopicPartition, int], float]:
        """When the message at each place was told."""
        self._told = {place: told for place, told in self._told.items() if place in wanted}
        missing = wanted - self._told.keys()
        while missing:
            round_of = dict(missing)  # one offset of each partition at a time
            self._reader.assign(list(round_of))
            for partition, offset in round_of.items():
                self._reader.seek(partition, offset)
            for partition, offset in round_of.items():
                try:
                    found = await self._reader.getmany(partition, timeout_ms=ANSWER_WITHIN_MS, max_records=1)
                except UnicodeDecodeError:  # nobody can read it; it ages from when it was first in somebody's way
                    self._told[partition, offset] = time.time()
                    continue
                if not found.get(partition):
                    raise BrokerUnavailable(f"{partition.topic}/{partition.partition}: nothing came from {offset}")
                self._told[partition, offset] = found[partition][0].timestamp / 1000
            missing = wanted - self._told.keys()
        return self._told

    async def _members(self) -> dict[str, int]:
        found = {}
        for group in self._heard_by:  # one by one: aiokafka 0.14 misreads an answer about several
            (answer,) = await self._admin.describe_consumer_groups([group])
            (described,) = answer.to_object()["groups"]
            found[group] = len(described["members"])
        return found


def create_app(settings: LagSettings) -> FastAPI:
    """The process, wired; nothing is opened before it is served."""
    registry = process_registry()
    lag = Lag(registry)

    async def keep_measuring() -> None:
        async with meter(settings.kafka_bootstrap_servers) as ours:
            while True:
                lag.measured(await ours.measure())
                await asyncio.sleep(settings.lag_check_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with background(until_done("ask how far consumers are", keep_measuring)):
            yield

    app = application("Attune lag", __doc__ or "", 1_000, lifespan, registry)
    answer_health(app, alive=lambda: True, ready={"kafka": lag.fresh}, registry=registry)
    return app


@asynccontextmanager
async def meter(servers: str, heard_by: HeardBy = HEARD_BY) -> AsyncIterator[Meter]:
    """One that is connected. Raises BrokerUnavailable, also for what goes wrong inside."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    reader = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    try:
        await admin.start()
        await reader.start()
        yield Meter(admin, reader, heard_by)
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
    finally:
        await reader.stop()
        await admin.close()


def main() -> None:
    settings = load(LagSettings)
    configure("lag", settings.log_level)
    serve(create_app(settings), settings)


if __name__ == "__main__":
    main()
