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

from shared.errors import BrokerUnavailable, DeploymentBroken, Transient, Unreadable
from shared.events import Event, by_name
from shared.events.cloudevents import decode
from shared.events.topics import Topic
from shared.kafka.dead_letters.record import DeadLetter, to_message
from shared.kafka.metrics import KafkaMetrics
from shared.kafka.poller import CannotBeHad, Polls
from shared.kafka.producer import Producer
from shared.runtime.backoff import backoff

log = structlog.get_logger()

Batch = Callable[[Sequence[Event]], Awaitable[None]]

POLL_WAIT_MS = 20
"""Milliseconds the poll loop rests when nothing came: half of it is the latency that it adds."""
SESSION_TIMEOUT_MS = 15_000
HEARTBEAT_MS = 3_000
# A partition changes hands only after the batch in hand is done: tries < drain < rebalance time-out < grace period.
TRIES_SECONDS = 20.0
DRAIN_SECONDS = 25.0
REBALANCE_TIMEOUT_MS = 30_000
MOST_BETWEEN_POLLS_MS = 300_000
"""Who does not poll for longer has the group carry on without it, and is not alive: nothing takes a batch so long."""

AHEAD = timedelta(days=1)
"""How far ahead of our clock an event may have occurred; beyond that its sender's clock is wrong."""
UNREADABLE_IN_A_ROW = 200
"""As many messages without one that can be read mean that the deployment is broken, not the messages."""


class Consumer:
    """Hears topics as one member of the consumer group that bears its service's name."""

    def __init__(
        self,
        servers: str,
        group: str,
        topics: Sequence[Topic],
        kinds: tuple[type[Event], ...],
        batch: Batch,
        producer: Producer,
        metrics: KafkaMetrics,
        clock: Callable[[], datetime],
        batch_size: int,
    ) -> None:
        self._servers = servers
        self._group = group
        self._topics = topics
        self._kinds = by_name(kinds)
        self._batch = batch
        self._producer = producer
        self._metrics = metrics
        self._clock = clock
        self._batch_size = batch_size
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = asyncio.Event()
        self._last_turn = time.monotonic()
        self._unreadable_in_a_row = 0
        self._broker: KafkaBroker | None = None
        self._subscriber: Any = None
        self._ending: asyncio.Task[None] | None = None
        """Stopping by itself, because the deployment is broken."""

    async def start(self) -> None:
        """Join the group. Raises BrokerUnavailable."""
        broker = KafkaBroker(
            self._servers.split(","),  # faststream takes one string for one server
            client_id=f"attune-{self._group}",
            consumer_only=True,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            allow_auto_create_topics=False,
            graceful_timeout=DRAIN_SECONDS,
            logger=None,
        )
        self._subscriber = broker.subscriber(
            *(topic.name for topic in self._topics),
            group_id=self._group,
            batch=True,
            max_records=self._batch_size,
            batch_timeout_ms=POLL_WAIT_MS,
            auto_offset_reset="earliest",
            parser=_parse_unharmed,
            decoder=_leave_undecoded,
            listener=_DrainBeforeRevoke(self._idle),
            partition_assignment_strategy=[RangePartitionAssignor],
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_poll_interval_ms=MOST_BETWEEN_POLLS_MS,
        )
        self._subscriber(self._handle)
        try:
            await broker.start()
        except BaseException as error:
            await broker.stop()
            if isinstance(error, KafkaError | OSError):
                raise BrokerUnavailable(str(error)) from error
            raise
        self._broker = broker
        self._watch_polls(self._subscriber.consumer)
        self.excuse()

    async def stop(self) -> None:
        """Finish the batch in hand, commit, and leave the group."""
        self._stopping.set()
        if self._ending is not None:
            await self._ending
        elif self._broker is not None:
            await self._broker.stop()

    def alive(self) -> bool:
        """Whether messages are still being taken: a consumer that ended or is stuck looks healthy from outside."""
        return self._broker is None or bool(
            self._ending is None
            and self._subscriber.running
            and self._subscriber.consumer
            and not all(task.done() for task in self._subscriber.tasks)
            and time.monotonic() - self._last_turn < MOST_BETWEEN_POLLS_MS / 1000
        )

    def excuse(self) -> None:
        """Standing still is no fault of ours just now, for Kafka is away."""
        self._last_turn = time.monotonic()

    def assigned(self) -> bool:
        """Whether the group has given us our share; it may be none when there are more of us than partitions."""
        consumer = self._subscriber.consumer if self._subscriber else None
        # aiokafka says nowhere else whether the group has settled
        return consumer is not None and not consumer._coordinator._rejoin_needed_fut.done()

    def _watch_polls(self, consumer: Any) -> None:
        """Hear of every poll. aiokafka's own watch over them is off for good once one of them failed."""
        poller = Polls(consumer)

        async def watched(*, timeout_ms: int, max_records: int) -> Any:
            try:
                records = await poller.poll(timeout_ms, max_records)
            except KafkaError as error:  # faststream waits a few seconds, and polls again
                log.warning("could not poll", error=f"{type(error).__name__}: {error}")
                raise
            except CannotBeHad as error:
                self._give_up(error)
                return {}
            if self.assigned():
                self._last_turn = time.monotonic()
            return records

        consumer.getmany = watched

    async def _handle(self, message: KafkaMessage) -> None:
        self._idle.clear()
        try:
            await self._take(message.raw_message)
            await self._commit(message)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # One that nobody asked for would end the consumer without a word.
            raise RuntimeError("stray cancellation while handling a batch") from cancelled
        except DeploymentBroken as error:
            self._give_up(error)
            raise
        finally:
            self._idle.set()

    async def _commit(self, message: KafkaMessage) -> None:
        """Here, and not by faststream, which would go on as if a commit that failed had not."""
        try:
            await message.ack()
        except KafkaError as error:
            self._metrics.tried_again(type(error).__name__)
            log.warning("a batch that was done could not be committed and comes again", error=str(error))
            raise

    def _give_up(self, error: DeploymentBroken | CannotBeHad) -> None:
        """Leave the group, with the batch uncommitted; from a task of its own, for the loop cannot end itself."""
        if self._ending is None and self._broker is not None:
            log.critical("consuming stopped", reason=str(error))
            self._ending = asyncio.create_task(self._broker.stop())

    async def _take(self, records: Sequence[ConsumerRecord]) -> None:
        started_at = time.perf_counter()
        events, dead_letters = self._read(records)
        consecutive_errors = 0 if events else self._unreadable_in_a_row + len(dead_letters)
        if consecutive_errors > UNREADABLE_IN_A_ROW:
            raise DeploymentBroken(
                f"{consecutive_errors} messages in a row are unreadable, the last at {dead_letters[-1].origin}: {dead_letters[-1].error}"
            )
        if events:
            await self._until_done(lambda: self._batch(events))
        if dead_letters:
            await self._until_done(lambda: self._set_aside(dead_letters))
        self._unreadable_in_a_row = consecutive_errors  # only now: a batch that comes again is counted once
        self._metrics.took(len(records), time.perf_counter() - started_at)

    def _read(self, records: Sequence[ConsumerRecord]) -> tuple[list[Event], list[DeadLetter]]:
        events: list[Event] = []
        dead_letters: list[DeadLetter] = []
        latest_allowed = self._clock() + AHEAD
        for record in records:
            try:
                event = decode(record.value, self._kinds)
                if event is None:
                    self._metrics.skipped(record.topic)
                elif event.occurred_at > latest_allowed:
                    raise Unreadable("future", "time: lies in the future")
                else:
                    events.append(event)
            except Unreadable as error:
                dead_letters.append(DeadLetter(record, error))
        return events, dead_letters

    async def _set_aside(self, letters: Sequence[DeadLetter]) -> None:
        now = self._clock()
        await self._producer.send([to_message(dead_letter, self._group, now) for dead_letter in letters])
        for dead_letter in letters:
            self._metrics.set_aside(dead_letter.record.topic, dead_letter.error.cause)
            log.error("set aside", origin=str(dead_letter.origin), error=str(dead_letter.error))

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        """Try until it is done; after a while give the batch back, so that the group knows we are alive."""
        deadline = time.monotonic() + TRIES_SECONDS
        for delay in backoff():
            try:
                return await work()
            except Exception as error:
                self._last_turn = time.monotonic()
                self._metrics.tried_again(type(error).__name__)
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


class _DrainBeforeRevoke(ConsumerRebalanceListener):  # type: ignore[misc]
    """Holds a rebalance until the batch in hand is committed, so that nobody else begins it meanwhile."""

    def __init__(self, idle: asyncio.Event) -> None:
        self._idle = idle

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        try:
            await asyncio.wait_for(self._idle.wait(), DRAIN_SECONDS)
        except TimeoutError:
            log.warning("gave partitions up with a batch in hand", partitions=len(revoked))

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        log.info("partitions assigned", partitions=sorted(f"{p.topic}/{p.partition}" for p in assigned))


async def _parse_unharmed(records: Sequence[ConsumerRecord], parse: Any) -> Any:
    """A header that is not UTF-8, or has no value, would make faststream drop the whole batch."""
    message = await parse(tuple(map(_with_readable_headers, records)))
    message.raw_message = tuple(records)  # as they came: what is set aside is set aside to the byte
    return message


def _with_readable_headers(record: ConsumerRecord) -> ConsumerRecord:
    headers = tuple((name, (value or b"").decode("utf-8", "replace").encode()) for name, value in record.headers)
    return record if headers == tuple(record.headers) else dataclasses.replace(record, headers=headers)


async def _leave_undecoded(message: KafkaMessage) -> Any:
    """Decoded one by one in the handler, so that one bad message does not fail its batch."""
    return message.body
