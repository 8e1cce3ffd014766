"""The broker of faststream for one consumer group, and its one subscriber."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from aiokafka import ConsumerRecord
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from shared.events import EventT
from shared.events.topics import Topic
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import METADATA_MAX_AGE_MS
from shared.kafka.stalled import StalledPartitions
from shared.kafka.subscriber import CommittingSubscriber, ConsumerTimings, create_subscriber


@dataclass(frozen=True)
class Subscription(Generic[EventT]):
    """What a consumer group consumes, and how much of it at once."""

    servers: str
    group: str
    topics: Sequence[Topic]
    event_types: tuple[type[EventT], ...]
    """Messages of other types are skipped and counted."""
    batch_size: int
    timings: ConsumerTimings = field(default_factory=ConsumerTimings)


def create_broker(
    subscription: Subscription[Any], metrics: KafkaMetrics, stalled: StalledPartitions
) -> tuple[KafkaBroker, CommittingSubscriber]:
    """A broker and its one subscriber, not started; the subscriber still needs its handler."""
    timings = subscription.timings
    broker = KafkaBroker(
        subscription.servers.split(","),  # faststream takes one string for one server
        client_id=f"attune-{subscription.group}",
        consumer_only=True,
        ack_policy=AckPolicy.MANUAL,  # auto-commit is off: the loop commits and rewinds
        allow_auto_create_topics=False,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        graceful_timeout=timings.drain_timeout_seconds,
        logger=None,
    )
    subscriber = create_subscriber(
        broker,
        [topic.name for topic in subscription.topics],
        timings,
        metrics,
        stalled,
        group_id=subscription.group,
        max_records=subscription.batch_size,
        auto_offset_reset="earliest",
        parser=_parse_batch,
        decoder=_skip_decoding,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=timings.session_timeout_ms,
        heartbeat_interval_ms=timings.heartbeat_interval_ms,
        rebalance_timeout_ms=timings.rebalance_timeout_ms,
        max_poll_interval_ms=timings.max_poll_interval_ms,
    )
    return broker, subscriber


async def _parse_batch(records: Sequence[ConsumerRecord], parse: Any) -> Any:
    """A header that is not UTF-8, or has no value, would make faststream drop the whole batch."""
    message = await parse(tuple(map(_with_utf8_headers, records)))
    message.raw_message = tuple(records)  # unchanged: a dead letter holds the exact bytes
    return message


def _with_utf8_headers(record: ConsumerRecord) -> ConsumerRecord:
    headers = tuple((name, (value or b"").decode("utf-8", "replace").encode()) for name, value in record.headers)
    return record if headers == tuple(record.headers) else dataclasses.replace(record, headers=headers)


async def _skip_decoding(message: KafkaMessage) -> Any:
    """The handler decodes message by message, so that one that cannot be decoded does not fail its batch."""
    return message.body
