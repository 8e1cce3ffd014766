"""A consumer: the batches of some topics, decoded and handled as one member of a consumer group.

A `Subscription` says what the group consumes. A `Consumer` decodes each batch and calls the handler. It is called by
its `CommittingSubscriber` (subscriber.py), the subscriber of faststream with the loop that polls and commits.

What happens to a message, and whether its offset is committed:

- An event of a consumed type: handled. Committed once the handler has returned.
- A message of another type: skipped, and its data are not validated. Committed. Counted in
  `attune_messages_skipped_total`, not logged.
- A message that cannot be decoded (empty, too large, not JSON, not an event, not as its schema requires): dead-lettered
  after the rest of its batch is handled. Committed. Logged as "Message dead-lettered", counted in
  `attune_dead_letters_total` and `attune_dead_letters_open`, listed by the command `dead-letters`.
- An event that is dated more than FUTURE_TOLERANCE ahead: dead-lettered in the same way, with the cause `future`.
- A message with a header *value* that is not UTF-8: like any other.
- A message with a header *name* that is not UTF-8: aiokafka cannot return it, so it cannot be dead-lettered. What is
  before it on its partition is handled and committed; the message is *not committed*, and the consumer stops.
- More than MAX_CONSECUTIVE_DECODE_ERRORS messages in a row that cannot be decoded: the deployment is broken and not the
  messages. The last batch is neither dead-lettered nor *committed*, and the consumer stops.

A consumer that stops leaves its group and logs "Consumer stopped" with the reason; liveness turns red. What to do is in
docs/runbooks/consumer-stopped.md.

What happens to a batch that fails:

- The handler raises, or a dead letter cannot be published: *not committed*, and retried in order for as long as it
  takes. The batch is never skipped and never dead-lettered, whatever the error is. Logged as "Batch failed, retrying",
  counted by error in `attune_batch_retries_total`. The one difference: an error that is not Transient is a bug, and its
  traceback is logged.
- The commit fails: the batch is delivered and handled again. Logged and counted in the same way.
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
"""More messages in a row that cannot be decoded mean that the deployment is broken. Each process counts for itself."""


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
    """Decodes and handles the batches of one member of a consumer group, from `start` to `stop`.

    `handler` must be idempotent: a batch may be delivered again.
    """

    def __init__(
        self,
        subscription: Subscription[EventT],
        handler: BatchHandler[EventT],
        producer: Producer,
        metrics: KafkaMetrics,
        clock: Callable[[], datetime],
    ) -> None:
        self.subscriber: CommittingSubscriber | None = None
        """Polls, calls `handle_batch` and commits; None until `start`."""
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
        """Handle one polled batch: to faststream it is one message. Raises ConsumerMisconfigured, and what fails."""
        started_at = time.perf_counter()
        records = message.raw_message if isinstance(message.raw_message, tuple) else (message.raw_message,)
        events, dead_letters = self._decode(records)
        # One event anywhere in the batch shows that messages can be decoded. Skipped messages show nothing.
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
        # Only now that the batch has succeeded: otherwise each further delivery of it would count its messages again.
        self._consecutive_decode_errors = consecutive_errors
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
        ack_policy=AckPolicy.MANUAL,  # auto-commit is off: the loop commits and rewinds
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
