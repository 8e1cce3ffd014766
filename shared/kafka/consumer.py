"""A consumer: the batches of some topics, decoded and handled as one member of a consumer group.

A `Subscription` (broker.py) says what the group consumes. A `Consumer` decodes each batch and calls the handler. It is
called by its `CommittingSubscriber` (subscriber.py), the subscriber of faststream with the loop that polls and commits.

What happens to a message, and whether its offset is committed:

- An event of a consumed type: handled. Committed once the handler has returned.
- A message of another type: skipped, and its data are not validated. Committed. Counted in
  `attune_messages_skipped_total`, not logged.
- A message that cannot be decoded (empty, too large, not JSON, not an event, not as its schema requires): dead-lettered
  after the rest of its batch is handled. Committed. Logged as "Message dead-lettered", counted in
  `attune_dead_letters_total` and `attune_dead_letters_open`, listed by the command `dead-letters`.
- An event that is dated more than FUTURE_TOLERANCE after its arrival: dead-lettered in the same way, with the cause
  `future` (record_decoder.py).
- A message with a header *value* that is not UTF-8: like any other.
- A message with a header *name* that is not UTF-8: aiokafka cannot return it, so it cannot be dead-lettered. What is
  before it on its partition is handled and committed; the message is *not committed*, and the consumer stops.
- More than MAX_UNDECODABLE_MESSAGES in a row that cannot be decoded, over UNDECODABLE_PERIOD or longer: the deployment
  is broken and not the messages. The last batch is neither dead-lettered nor *committed*, and the consumer stops.

A consumer that stops leaves its group and logs "Consumer stopped" with the reason; liveness turns red. What to do is in
docs/runbooks/consumer-stopped.md.

What happens to a batch that fails:

- The handler raises a Transient error, or a dead letter cannot be published: *not committed*, and retried in order for
  as long as it takes. Logged as "Batch failed, retrying", counted by error in `attune_batch_retries_total`.
- The handler raises another error, which is a bug: retried HANDLING_TRIES times, logged with its traceback and counted
  in the same way. Then the batch is halved (isolation.py) until each event that cannot be handled is alone. All others
  are handled.
- An event that cannot be handled alone: dead-lettered with the cause `handling` and the type of the error. Committed.
- More than MAX_HANDLING_FAILURES such events within HANDLING_FAILURE_PERIOD: the release has a bug. Nothing more is
  dead-lettered: each partition with such an event stands still there (stalled.py). What is before it is *committed*,
  the event is not. It is tried again every `stalled_retry_seconds`. Logged as "Partition stalled", counted in
  `attune_stalled_partitions`; readiness is red. What to do is in docs/runbooks/partition-stalled.md. It goes on when
  the event can be handled, and begins to count again after a restart.
- The commit fails: the batch is delivered and handled again. Logged and counted in the same way.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Generic

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from faststream.kafka import KafkaBroker, KafkaMessage

from shared.errors import ConsumerMisconfigured, DecodeError, Transient, describe
from shared.events import EventT, by_type
from shared.kafka.broker import Subscription, create_broker
from shared.kafka.dead_letters.record import DeadLetter, Origin, dead_letter_message
from shared.kafka.errors import translate_errors
from shared.kafka.isolation import Isolation, Received
from shared.kafka.limits import HandlingFailures, UndecodableStreak
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.producer import Producer
from shared.kafka.record_decoder import decode_record
from shared.kafka.stalled import StalledPartitions
from shared.kafka.subscriber import CommittingSubscriber
from shared.runtime.backoff import backoff

log = structlog.get_logger()

BatchHandler = Callable[[Sequence[EventT]], Awaitable[None]]

HANDLING_TRIES = 3
"""How often a batch is tried before a bug is looked for in it: an error that nobody has foreseen may pass as well."""


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
        self._stalled = StalledPartitions(metrics, subscription.timings.stalled_retry_seconds)
        self._handling_failures = HandlingFailures()
        self._undecodable_streak = UndecodableStreak()

    async def start(self) -> None:
        """Join the group. Raises BrokerUnavailable."""
        broker, subscriber = create_broker(self._subscription, self._metrics, self._stalled)
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

    def is_consuming(self) -> bool:
        """Whether this member takes part in the group, and no partition of it stands still."""
        return self.subscriber is not None and self.subscriber.is_settled() and not self._stalled

    def report_progress(self) -> None:
        """Say that standing still is not this consumer's fault just now."""
        if self.subscriber is not None:
            self.subscriber.report_progress()

    async def handle_batch(self, message: KafkaMessage) -> None:
        """Handle one polled batch: to faststream it is one message. Raises ConsumerMisconfigured, and what fails."""
        started_at, now = time.perf_counter(), self._clock()
        records = message.raw_message if isinstance(message.raw_message, tuple) else (message.raw_message,)
        received, dead_letters = self._decode(records, now)
        streak = self._undecodable_streak.extend(len(received), len(dead_letters), now)
        if streak.shows_broken_deployment(now):
            last = dead_letters[-1]
            raise ConsumerMisconfigured(
                f"{streak.messages} consecutive messages could not be decoded, the last at {last.origin}: {last.error}"
            )
        stalled: dict[TopicPartition, DeadLetter] = {}
        if received:
            unhandled, stalled = await self._handle(received)
            dead_letters += unhandled
        # What is behind a stalled event is delivered again.
        dead_letters = [one for one in dead_letters if not _is_behind(one, stalled.get(one.partition))]
        if dead_letters:
            await self._retry(lambda: self._dead_letter(dead_letters))
        # Only now that the batch has succeeded: otherwise each further delivery of it would count its messages again.
        self._undecodable_streak = streak
        self._stalled.update({TopicPartition(record.topic, record.partition) for record in records}, stalled)
        self._metrics.observe_batch(len(records), time.perf_counter() - started_at)

    async def _handle(
        self, received: Sequence[Received[EventT]]
    ) -> tuple[list[DeadLetter], dict[TopicPartition, DeadLetter]]:
        """Handle the events; return those that cannot be handled and those at which a partition must stand still."""
        events = [one.event for one in received]
        try:
            await self._retry(lambda: self._handler(events), HANDLING_TRIES)
        except Exception as error:
            if isinstance(error, Transient) or self._stopping.is_set():
                raise
        else:
            return [], {}
        isolation = Isolation[EventT](
            lambda events: self._retry(lambda: self._handler(events), tries_of_a_bug=1), self._may_dead_letter
        )
        await isolation.run(received)
        return isolation.dead_letters, isolation.stalled

    def _may_dead_letter(self, origin: Origin) -> bool:
        return self._handling_failures.admit(origin, self._clock(), bool(self._stalled))

    def _decode(
        self, records: Sequence[ConsumerRecord], now: datetime
    ) -> tuple[list[Received[EventT]], list[DeadLetter]]:
        received: list[Received[EventT]] = []
        dead_letters: list[DeadLetter] = []
        for record in records:
            try:
                event = decode_record(record, self._event_types, now)
                if event is None:
                    self._metrics.count_skipped(record.topic)
                else:
                    received.append(Received(record, event))
            except DecodeError as error:
                dead_letters.append(DeadLetter(record, error))
        return received, dead_letters

    async def _dead_letter(self, dead_letters: Sequence[DeadLetter]) -> None:
        now = self._clock()
        group = self._subscription.group
        await self._producer.send([dead_letter_message(dead_letter, group, now) for dead_letter in dead_letters])
        for dead_letter in dead_letters:
            self._metrics.count_dead_letter(dead_letter.record.topic, dead_letter.error.cause)
            log.error("Message dead-lettered", origin=str(dead_letter.origin), error=str(dead_letter.error))

    async def _retry(self, work: Callable[[], Awaitable[None]], tries_of_a_bug: int | None = None) -> None:
        """Try until it is done; after a while raise, so that the loop polls and the group sees this member alive.

        An error that is not Transient is raised after `tries_of_a_bug`.
        """
        timings = self._subscription.timings
        deadline = time.monotonic() + timings.retry_timeout_seconds
        for tries, delay in enumerate(backoff(timings.max_retry_delay_seconds), start=1):
            try:
                return await work()
            except Exception as error:
                self.report_progress()
                self._metrics.count_retry(type(error).__name__)
                log.warning(
                    "Batch failed, retrying",
                    error=describe(error),
                    # A transient error says enough. A bug needs its place, once: rendering it takes time.
                    exc_info=not isinstance(error, Transient) and tries == 1 and tries_of_a_bug != 1,
                )
                is_hopeless = tries == tries_of_a_bug and not isinstance(error, Transient)
                if is_hopeless or self._stopping.is_set() or time.monotonic() + delay > deadline:
                    raise
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
        return None


def _is_behind(dead_letter: DeadLetter, stalled: DeadLetter | None) -> bool:
    return stalled is not None and dead_letter.record.offset > stalled.record.offset
