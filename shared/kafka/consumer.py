"""A consumer: the batches of some topics, decoded and handled as one member of a consumer group.

A batch whose handler fails is retried, in order, for as long as it takes. A message that cannot be decoded is
dead-lettered, and the rest of its batch goes on. When no message can be decoded the consumer stops, because then the
deployment is broken and not the messages. The loop that polls and commits is in `subscriber.py`.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic

import structlog
from aiokafka import ConsumerRecord
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from shared.errors import ConsumerMisconfigured, DecodeError, Transient
from shared.events import EventT, by_type
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.dead_letters.record import DeadLetter, dead_letter_message
from shared.kafka.errors import translate_errors
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Producer
from shared.kafka.subscriber import CommittingSubscriber, ConsumerTimings, create_subscriber
from shared.runtime.backoff import backoff

log = structlog.get_logger()

BatchHandler = Callable[[Sequence[EventT]], Awaitable[None]]

FUTURE_TOLERANCE = timedelta(days=1)
"""How far ahead of our clock an event may have occurred; beyond that its sender's clock is wrong."""
MAX_CONSECUTIVE_DECODE_ERRORS = 200
"""So many messages in a row, none of which can be decoded, mean that the deployment is broken."""


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


class Consumer(Generic[EventT]):
    """One member of a consumer group. `handler` must be idempotent: a batch may be delivered again."""

    def __init__(
        self,
        subscription: Subscription[EventT],
        handler: BatchHandler[EventT],
        producer: Producer,
        metrics: KafkaMetrics,
        clock: Callable[[], datetime],
    ) -> None:
        self.subscriber: CommittingSubscriber | None = None
        self._subscription = subscription
        self._event_types = by_type(subscription.event_types)
        self._handler = handler
        self._producer = producer
        self._metrics = metrics
        self._clock = clock
        self._broker: KafkaBroker | None = None
        self._stopping = asyncio.Event()
        self._consecutive_decode_errors = 0

    async def start(self) -> None:
        """Join the group. Raises BrokerUnavailable."""
        broker, subscriber = create_broker(self._subscription, self._metrics)
        subscriber(self.handle_batch)
        try:
            with translate_errors():
                await broker.start()
        except BaseException:
            await broker.stop()
            raise
        self._broker, self.subscriber = broker, subscriber

    async def stop(self) -> None:
        """Finish and commit the current batch, and leave the group."""
        self._stopping.set()
        if self._broker is not None:
            await self._broker.stop()

    def is_alive(self) -> bool:
        """False when the loop has ended or hangs, and only a restart can help."""
        return self.subscriber is None or self.subscriber.is_alive()

    def is_settled(self) -> bool:
        """Whether this member takes part in the group."""
        return self.subscriber is not None and self.subscriber.is_settled()

    def report_progress(self) -> None:
        """Say that standing still is not this consumer's fault just now."""
        if self.subscriber is not None:
            self.subscriber.report_progress()

    async def handle_batch(self, message: KafkaMessage) -> None:
        """Handle one polled batch. Raises what its handler raises, and ConsumerMisconfigured."""
        started_at = time.perf_counter()
        records = message.raw_message if isinstance(message.raw_message, tuple) else (message.raw_message,)
        events, dead_letters = self._decode(records)
        consecutive_errors = 0 if events else self._consecutive_decode_errors + len(dead_letters)
        if consecutive_errors > MAX_CONSECUTIVE_DECODE_ERRORS:
            last = dead_letters[-1]
            raise ConsumerMisconfigured(
                f"{consecutive_errors} consecutive messages could not be decoded, "
                f"the last at {last.origin}: {last.error}"
            )
        if events:
            await self._retry(lambda: self._handler(events))
        if dead_letters:
            await self._retry(lambda: self._dead_letter(dead_letters))
        self._consecutive_decode_errors = consecutive_errors  # only now: a batch that is delivered again counts once
        self._metrics.observe_batch(len(records), time.perf_counter() - started_at)

    def _decode(self, records: Sequence[ConsumerRecord]) -> tuple[list[EventT], list[DeadLetter]]:
        events: list[EventT] = []
        dead_letters: list[DeadLetter] = []
        latest_allowed = self._clock() + FUTURE_TOLERANCE
        for record in records:
            try:
                event = decode(record.value, self._event_types)
                if event is None:
                    self._metrics.count_skipped(record.topic)
                elif event.occurred_at > latest_allowed:
                    raise DecodeError("future", "time: is in the future")
                else:
                    events.append(event)
            except DecodeError as error:
                dead_letters.append(DeadLetter(record, error))
        return events, dead_letters

    async def _dead_letter(self, dead_letters: Sequence[DeadLetter]) -> None:
        now = self._clock()
        group = self._subscription.group
        await self._producer.send([dead_letter_message(dead_letter, group, now) for dead_letter in dead_letters])
        for dead_letter in dead_letters:
            self._metrics.count_dead_letter(dead_letter.record.topic, dead_letter.error.cause)
            log.error("Message dead-lettered", origin=str(dead_letter.origin), error=str(dead_letter.error))

    async def _retry(self, work: Callable[[], Awaitable[None]]) -> None:
        """Try until it is done; after a while raise, so that the loop polls and the group sees this member alive."""
        timings = self._subscription.timings
        deadline = time.monotonic() + timings.retry_timeout_seconds
        for delay in backoff(timings.max_retry_delay_seconds):
            try:
                return await work()
            except Exception as error:
                self.report_progress()
                self._metrics.count_retry(type(error).__name__)
                log.warning(
                    "Batch failed, retrying",
                    error=f"{type(error).__name__}: {error}",
                    exc_info=not isinstance(error, Transient),  # a transient error says enough, a bug needs its place
                )
                if self._stopping.is_set() or time.monotonic() + delay > deadline:
                    raise
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
        return None


def create_broker(subscription: Subscription[Any], metrics: KafkaMetrics) -> tuple[KafkaBroker, CommittingSubscriber]:
    """A broker and its one subscriber, not started; the subscriber still needs its handler."""
    timings = subscription.timings
    broker = KafkaBroker(
        subscription.servers.split(","),  # faststream takes one string for one server
        client_id=f"attune-{subscription.group}",
        consumer_only=True,
        ack_policy=AckPolicy.MANUAL,  # the loop commits and rewinds
        allow_auto_create_topics=False,
        graceful_timeout=timings.drain_timeout_seconds,
        logger=None,
    )
    subscriber = create_subscriber(
        broker,
        [topic.name for topic in subscription.topics],
        timings,
        metrics,
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
