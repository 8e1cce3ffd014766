"""Consuming: a batch per poll, committed only when everything that follows from it is done.

A batch whose work fails is tried again, in order, for as long as it takes; a message that nobody can read is
set aside and the rest goes on; when nothing can be read, consuming stops, because then the deployment is wrong.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from shared.errors import BrokerUnavailable, ConsumerMisconfigured, DecodeError, Transient
from shared.events import Event, by_type
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.dead_letters.record import DeadLetter, to_message
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.poller import SteppedPoller, UnreadableRecord
from shared.kafka.producer import Producer
from shared.runtime.backoff import backoff

log = structlog.get_logger()

BatchHandler = Callable[[Sequence[Event]], Awaitable[None]]

POLL_TIMEOUT_MS = 20
"""Milliseconds the poll loop rests when nothing came: half of it is the latency that it adds."""
SESSION_TIMEOUT_MS = 15_000
HEARTBEAT_INTERVAL_MS = 3_000
# A partition changes hands only after the batch in hand is done: tries < drain < rebalance time-out < grace period.
RETRY_TIMEOUT_SECONDS = 20.0
DRAIN_TIMEOUT_SECONDS = 25.0
REBALANCE_TIMEOUT_MS = 30_000
MAX_POLL_INTERVAL_MS = 300_000
"""Who does not poll for longer has the group carry on without it, and is not alive: nothing takes a batch so long."""

FUTURE_TOLERANCE = timedelta(days=1)
"""How far ahead of our clock an event may have occurred; beyond that its sender's clock is wrong."""
MAX_CONSECUTIVE_DECODE_ERRORS = 200
"""As many messages without one that can be read mean that the deployment is broken, not the messages."""


class Consumer:
    """Hears topics as one member of the consumer group that bears its service's name."""

    def __init__(
        self,
        servers: str,
        group: str,
        topics: Sequence[Topic],
        event_types: tuple[type[Event], ...],
        handler: BatchHandler,
        producer: Producer,
        metrics: KafkaMetrics,
        clock: Callable[[], datetime],
        batch_size: int,
    ) -> None:
        self._servers = servers
        self._group = group
        self._topics = topics
        self._event_types = by_type(event_types)
        self._handler = handler
        self._producer = producer
        self._metrics = metrics
        self._clock = clock
        self._batch_size = batch_size
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = asyncio.Event()
        self._last_poll_at = time.monotonic()
        self._consecutive_decode_errors = 0
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._stop_task: asyncio.Task[None] | None = None
        """Stopping by itself, because the deployment is broken."""

    async def start(self) -> None:
        """Join the group. Raises BrokerUnavailable."""
        broker = KafkaBroker(
            self._servers.split(","),  # faststream takes one string for one server
            client_id=f"attune-{self._group}",
            consumer_only=True,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            allow_auto_create_topics=False,
            graceful_timeout=DRAIN_TIMEOUT_SECONDS,
            logger=None,
        )
        self._subscriber = broker.subscriber(
            *(topic.name for topic in self._topics),
            group_id=self._group,
            batch=True,
            max_records=self._batch_size,
            batch_timeout_ms=POLL_TIMEOUT_MS,
            auto_offset_reset="earliest",
            parser=_parse_batch,
            decoder=_skip_decoding,
            listener=_DrainingRebalanceListener(self._idle),
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        )
        self._subscriber(self._on_message)
        try:
            await broker.start()
        except BaseException as error:
            await broker.stop()
            if isinstance(error, KafkaError | OSError):
                raise BrokerUnavailable(str(error)) from error
            raise
        self._broker = broker
        self._install_poller(self._subscriber.consumer)
        self.reset_poll_deadline()

    async def stop(self) -> None:
        """Finish the batch in hand, commit, and leave the group."""
        self._stopping.set()
        if self._stop_task is not None:
            await self._stop_task
        elif self._broker is not None:
            await self._broker.stop()

    def is_alive(self) -> bool:
        """Whether messages are still being taken: a consumer that ended or is stuck looks healthy from outside."""
        return self._broker is None or bool(
            self._stop_task is None
            and self._subscriber.running
            and self._subscriber.consumer
            and not all(task.done() for task in self._subscriber.tasks)
            and time.monotonic() - self._last_poll_at < MAX_POLL_INTERVAL_MS / 1000
        )

    def reset_poll_deadline(self) -> None:
        """Standing still is no fault of ours just now, for Kafka is away."""
        self._last_poll_at = time.monotonic()

    def is_assigned(self) -> bool:
        """Whether the group has given us our share; it may be none when there are more of us than partitions."""
        consumer = self._subscriber.consumer if self._subscriber else None
        # aiokafka says nowhere else whether the group has settled
        return consumer is not None and not consumer._coordinator._rejoin_needed_fut.done()

    def _install_poller(self, consumer: Any) -> None:
        """Hear of every poll. aiokafka's own watch over them is off for good once one of them failed."""
        poller = SteppedPoller(consumer)

        async def poll(*, timeout_ms: int, max_records: int) -> Any:
            try:
                records = await poller.poll(timeout_ms, max_records)
            except KafkaError as error:  # faststream waits a few seconds, and polls again
                log.warning("could not poll", error=f"{type(error).__name__}: {error}")
                raise
            except UnreadableRecord as error:
                self._stop_consuming(error)
                return {}
            if self.is_assigned():
                self._last_poll_at = time.monotonic()
            return records

        consumer.getmany = poll

    async def _on_message(self, message: KafkaMessage) -> None:
        self._idle.clear()
        try:
            await self._handle_batch(message.raw_message)
            await self._commit(message)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # One that nobody asked for would end the consumer without a word.
            raise RuntimeError("stray cancellation while handling a batch") from cancelled
        except ConsumerMisconfigured as error:
            self._stop_consuming(error)
            raise
        finally:
            self._idle.set()

    async def _commit(self, message: KafkaMessage) -> None:
        """Here, and not by faststream, which would go on as if a commit that failed had not."""
        try:
            await message.ack()
        except KafkaError as error:
            self._metrics.count_retry(type(error).__name__)
            log.warning("a batch that was done could not be committed and comes again", error=str(error))
            raise

    def _stop_consuming(self, error: ConsumerMisconfigured | UnreadableRecord) -> None:
        """Leave the group, with the batch uncommitted; from a task of its own, for the loop cannot end itself."""
        if self._stop_task is None and self._broker is not None:
            log.critical("consuming stopped", reason=str(error))
            self._stop_task = asyncio.create_task(self._broker.stop())

    async def _handle_batch(self, records: Sequence[ConsumerRecord]) -> None:
        started_at = time.perf_counter()
        events, dead_letters = self._decode(records)
        consecutive_errors = 0 if events else self._consecutive_decode_errors + len(dead_letters)
        if consecutive_errors > MAX_CONSECUTIVE_DECODE_ERRORS:
            raise ConsumerMisconfigured(
                f"{consecutive_errors} messages in a row are unreadable, the last at {dead_letters[-1].origin}: {dead_letters[-1].error}"
            )
        if events:
            await self._retry(lambda: self._handler(events))
        if dead_letters:
            await self._retry(lambda: self._dead_letter(dead_letters))
        self._consecutive_decode_errors = consecutive_errors  # only now: a batch that comes again is counted once
        self._metrics.observe_batch(len(records), time.perf_counter() - started_at)

    def _decode(self, records: Sequence[ConsumerRecord]) -> tuple[list[Event], list[DeadLetter]]:
        events: list[Event] = []
        dead_letters: list[DeadLetter] = []
        latest_allowed = self._clock() + FUTURE_TOLERANCE
        for record in records:
            try:
                event = decode(record.value, self._event_types)
                if event is None:
                    self._metrics.count_skipped(record.topic)
                elif event.occurred_at > latest_allowed:
                    raise DecodeError("future", "time: lies in the future")
                else:
                    events.append(event)
            except DecodeError as error:
                dead_letters.append(DeadLetter(record, error))
        return events, dead_letters

    async def _dead_letter(self, dead_letters: Sequence[DeadLetter]) -> None:
        now = self._clock()
        await self._producer.send([to_message(dead_letter, self._group, now) for dead_letter in dead_letters])
        for dead_letter in dead_letters:
            self._metrics.count_dead_letter(dead_letter.record.topic, dead_letter.error.cause)
            log.error("set aside", origin=str(dead_letter.origin), error=str(dead_letter.error))

    async def _retry(self, work: Callable[[], Awaitable[None]]) -> None:
        """Try until it is done; after a while give the batch back, so that the group knows we are alive."""
        deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
        for delay in backoff():
            try:
                return await work()
            except Exception as error:
                self._last_poll_at = time.monotonic()
                self._metrics.count_retry(type(error).__name__)
                log.warning(
                    "batch failed, trying again",
                    error=f"{type(error).__name__}: {error}",
                    exc_info=not isinstance(error, Transient),  # one of ours says enough; a bug needs its place
                )
                if self._stopping.is_set() or time.monotonic() + delay > deadline:
                    raise
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay)
        return None


class _DrainingRebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Holds a rebalance until the batch in hand is committed, so that nobody else begins it meanwhile."""

    def __init__(self, idle: asyncio.Event) -> None:
        self._idle = idle

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        try:
            await asyncio.wait_for(self._idle.wait(), DRAIN_TIMEOUT_SECONDS)
        except TimeoutError:
            log.warning("gave partitions up with a batch in hand", partitions=len(revoked))

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        log.info("partitions assigned", partitions=sorted(f"{p.topic}/{p.partition}" for p in assigned))


async def _parse_batch(records: Sequence[ConsumerRecord], parse: Any) -> Any:
    """A header that is not UTF-8, or has no value, would make faststream drop the whole batch."""
    message = await parse(tuple(map(_with_utf8_headers, records)))
    message.raw_message = tuple(records)  # as they came: what is set aside is set aside to the byte
    return message


def _with_utf8_headers(record: ConsumerRecord) -> ConsumerRecord:
    headers = tuple((name, (value or b"").decode("utf-8", "replace").encode()) for name, value in record.headers)
    return record if headers == tuple(record.headers) else dataclasses.replace(record, headers=headers)


async def _skip_decoding(message: KafkaMessage) -> Any:
    """Decoded one by one in the handler, so that one bad message does not fail its batch."""
    return message.body
